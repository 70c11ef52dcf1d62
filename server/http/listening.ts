import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const closingTurnMs = 20;

/** Resolves with the address once the server listens. */
export async function listen(server: Server, port: number, host: string): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server.address() as AddressInfo;
}

/** Stops listening at once, and resolves when `work` is done and every connection is closed. */
export async function close(server: Server, work: Promise<void>, graceMs: number): Promise<void> {
  if (!server.listening) return await work;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Connections become idle one by one.
  const idle = setInterval(() => server.closeIdleConnections(), closingTurnMs);
  await work;
  // The last answers may still be on their way to slow readers.
  const late = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(late);
  clearInterval(idle);
}
