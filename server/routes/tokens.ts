import type { Call } from '../http/call.js';
import { fieldOf } from '../http/fields.js';
import { invalidValue } from '../http/http-error.js';
import type { Body } from '../http/request-body.js';
import type { Service } from '../service.js';

/** POST /tokenize. Grok-1's own code adds no special token, so `add_special_tokens` changes nothing. */
export async function tokenize(body: Body, call: Call, { model }: Service): Promise<Response> {
  const { tokenizer, info } = model.grok;
  model.checkName(fieldOf(body, 'model'));
  const text = fieldOf(body, 'prompt') ?? fieldOf(body, 'content');
  if (typeof text !== 'string') throw invalidValue('prompt', 'a text', text);
  const tokens = await tokenizer.encodeAsync(text, { signal: call.signal });
  const withPieces = fieldOf(body, 'return_token_strs') === true;
  return Response.json({
    count: tokens.length,
    max_model_len: info.contextSize,
    tokens,
    ...(withPieces && { token_strs: tokens.map((id) => tokenizer.piece(id)) }),
  });
}

/** POST /detokenize */
export async function detokenize(body: Body, _call: Call, { model }: Service): Promise<Response> {
  const { tokenizer } = model.grok;
  model.checkName(fieldOf(body, 'model'));
  const tokens = fieldOf(body, 'tokens');
  if (!Array.isArray(tokens)) throw invalidValue('tokens', 'an array of token ids', tokens);
  const isId = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < tokenizer.vocabSize;
  const wrong = tokens.findIndex((id) => !isId(id));
  if (wrong >= 0) throw invalidValue('tokens', `integers from 0 to ${tokenizer.vocabSize - 1}`, tokens[wrong]);
  return Response.json({ prompt: tokenizer.decode(tokens as number[]) });
}

/** GET /tokenizer_info: the names by which lm-evaluation-harness asks. */
export function tokenizerInfo({ model }: Service): Response {
  const { tokenizer, info } = model.grok;
  const pieceOf = (id: number) => (id >= 0 ? tokenizer.piece(id) : null);
  return Response.json({
    tokenizer_class: 'SentencePiece',
    vocab_size: tokenizer.vocabSize,
    model_max_length: info.contextSize,
    bos_token: pieceOf(tokenizer.bosId),
    eos_token: pieceOf(tokenizer.eosId),
    pad_token: pieceOf(tokenizer.padId),
    bos_token_id: tokenizer.bosId,
    eos_token_id: tokenizer.eosId,
    add_bos_token: false,
  });
}
