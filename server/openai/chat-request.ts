import type { ChatMessage, ChatOptions } from '../../lib/index.js';
import {
  integerField,
  isEmpty,
  isFalse,
  isOneOf,
  never,
  refuseUnsupported,
  switchField,
  type Unsupported,
} from '../http/fields.js';
import { HttpError } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import type { Limits } from '../options.js';
import { messagesOf } from './chat-messages.js';
import { includeUsageOf, mostTokens, mostTopLogprobs, unsupportedEverywhere } from './completion-request.js';
import { choicesOf, samplingOptionsOf } from './sampling.js';

/** Fields of `/v1/chat/completions` beside those of sampling. */
export const chatFields = [
  'model',
  'messages',
  'max_completion_tokens',
  'max_tokens',
  'n',
  'stop',
  'logprobs',
  'top_logprobs',
  'stream',
  'stream_options',
  'return_tokens_as_token_ids',
  'user',
] as const;

export const unsupportedChatFields: Unsupported = {
  ...unsupportedEverywhere,
  tool_choice: isOneOf('none', 'auto'),
  function_call: isOneOf('none', 'auto'),
  modalities: (value) => Array.isArray(value) && value.every((modality) => modality === 'text'),
  audio: never,
  prediction: never,
  web_search_options: never,
  reasoning_effort: isOneOf('none'),
  echo: isFalse,
  chat_template: never, // only whoever runs the server chooses it
  chat_template_kwargs: never,
  continue_final_message: isFalse,
  add_generation_prompt: isOneOf(true),
  documents: isEmpty,
};

export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly tokensAsIds: boolean;
  readonly options: ChatOptions;
}

export function chatRequestOf(body: Body, limits: Limits): ChatRequest {
  refuseUnsupported(body, unsupportedChatFields);
  const stream = switchField(body, 'stream');
  const maxTokens =
    integerField(body, 'max_completion_tokens', 0, mostTokens) ?? integerField(body, 'max_tokens', 0, mostTokens);
  return {
    messages: messagesOf(body, limits),
    n: choicesOf(body, 1, limits),
    stream,
    includeUsage: includeUsageOf(body, stream),
    tokensAsIds: switchField(body, 'return_tokens_as_token_ids'),
    options: {
      ...samplingOptionsOf(body, limits),
      ...(maxTokens !== undefined && { maxTokens }),
      ...logprobsOf(body),
    },
  };
}

function logprobsOf(body: Body): { logprobs?: number } {
  const top = integerField(body, 'top_logprobs', 0, mostTopLogprobs);
  if (switchField(body, 'logprobs')) return { logprobs: top ?? 0 };
  if (top === undefined || top === 0) return {};
  throw new HttpError('invalid_value', 'Expected `top_logprobs` only beside `logprobs`: true.', {
    param: 'top_logprobs',
  });
}
