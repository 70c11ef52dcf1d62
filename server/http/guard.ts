import { isIP } from 'node:net';
import { HttpError } from './http-error.js';

/**
 * The rule for the Host header. A web page can make its own name lead to this machine (DNS rebinding), but not turn an
 * IP address or `localhost` into its name.
 */
export class HostRule {
  readonly #allowed: ReadonlySet<string> | '*';

  constructor(allowed: readonly string[] | '*') {
    this.#allowed = allowed === '*' ? '*' : new Set(allowed.map((name) => name.toLowerCase()));
  }

  check(host: string | null): void {
    if (this.#allowed === '*') return;
    const name = nameIn(host ?? '');
    if (name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0 || this.#allowed.has(name)) return;
    throw new HttpError(
      'host_not_allowed',
      'Expected the Host header to be localhost, an IP address or an allowed name.',
    );
  }
}

/** The name or address of a Host header, without port and brackets. */
function nameIn(host: string): string {
  const lower = host.toLowerCase();
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(lower)?.[1];
  return address ?? lower.replace(/:\d+$/, '').replace(/\.$/, '');
}

/** The rule for requests from web pages, which carry an Origin header. */
export class OriginRule {
  readonly #allowed: ReadonlySet<string>;

  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
  }

  /** Returns the headers of the answer. */
  check(origin: string | null, host: string | null): Record<string, string> {
    if (origin === null) return {};
    const lower = origin.toLowerCase();
    if (this.#allowed.has('*') || this.#allowed.has(lower)) {
      return {
        'access-control-allow-origin': this.#allowed.has('*') ? '*' : origin,
        'access-control-expose-headers': 'x-request-id, retry-after',
        vary: 'Origin',
      };
    }
    if (host !== null && lower.replace(/^https?:\/\//, '') === host.toLowerCase()) return {}; // a page of this server
    throw new HttpError('origin_not_allowed', 'Expected a request from an allowed origin; the server names them.');
  }
}

const mostHeaderNames = 512;

/** The answer to a browser that asks whether it may send a request. */
export function preflightHeaders(requested: string | null): Record<string, string> {
  const names = requested !== null && requested.length <= mostHeaderNames ? requested : 'authorization, content-type';
  return {
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': names,
    'access-control-max-age': '600',
  };
}
