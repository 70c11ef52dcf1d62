import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type ErrorCode, HttpError } from './http-error.js';

const codes: Readonly<Record<string, [ErrorCode, string, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', '431 Request Header Fields Too Large', 'The headers are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['slow_client', '408 Request Timeout', 'The request did not arrive in time.'],
};

/** Answers what is not HTTP, in the shape of the other errors, and closes the connection. */
export function answerRawErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const [code, status, message] = codes[error.code ?? ''] ?? [
      'bad_request',
      '400 Bad Request',
      'Expected an HTTP request, found bytes that are none.',
    ];
    const body = JSON.stringify(new HttpError(code as ErrorCode, message as string).body);
    socket.end(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
        `connection: close\r\n\r\n${body}`,
    );
  });
}
