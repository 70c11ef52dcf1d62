import { Grok, type LoadOptions } from '../../lib/index.js';
import { createServer, type GrokServer, type LogEntry, type ServerOptions } from '../../server/index.js';

/** A server of the embedded model on a free port, for one test file. */
export interface TestServer extends AsyncDisposable {
  readonly grok: Grok;
  readonly server: GrokServer;
  readonly port: number;
  readonly url: string;
  readonly log: LogEntry[];
}

export async function startServer(
  options: ServerOptions = {},
  load: LoadOptions = {},
  given?: Grok,
): Promise<TestServer> {
  const grok = given ?? (await Grok.load(undefined, load));
  const log: LogEntry[] = [];
  const server = createServer(grok, { logger: (entry) => log.push(entry), ...options });
  const { port } = await server.listen(0);
  return {
    ...{ grok, server, port, log },
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.closeNow();
      if (!given) await grok.close();
    },
  };
}

/** Posts a body, as an object or as text. */
export async function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return await fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
    headers: { 'content-type': 'application/json', ...init.headers },
  });
}

export interface ErrorAnswer {
  status: number;
  error: { message: string; type: string; param: string | null; code: string };
}

export async function errorOf(response: Response): Promise<ErrorAnswer> {
  const { error } = (await response.json()) as Pick<ErrorAnswer, 'error'>;
  return { status: response.status, error };
}

/** The data of each event of a stream. */
export async function eventsOf(response: Response): Promise<string[]> {
  const text = await response.text();
  const events = text.split('\n\n');
  if (events.pop() !== '') throw new Error(`Expected a whole last event, found ${JSON.stringify(text.slice(-80))}`);
  return events.map((event) => {
    if (!event.startsWith('data: ')) throw new Error(`Expected an event with data, found ${event}`);
    return event.slice('data: '.length);
  });
}
