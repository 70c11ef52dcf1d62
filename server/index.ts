export { createHandler, type Handler } from './handler.js';
export { parseApiKeys } from './http/api-keys.js';
export type { LogEntry } from './http/log.js';
export { createServer, defaultHost, defaultPort, type GrokServer } from './node-server.js';
export { type LimitName, type Limits, limits, type ServerOptions } from './options.js';
