import { Conversation } from '../chat/conversation.js';
import { type ChatTemplateName, chatTemplate, requireTemplate, templatesFor } from '../chat/templates.js';
import { type ResolvedGenerateOptions, resolveChatOptions } from '../options/resolve.js';
import { type ChatOptions, chatOptions } from '../options/schema.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { fitConversation, type PromptHost, requireTokenizer } from './prompt.js';

/** How a model can chat. */
export interface ChatInfo {
  /** Templates that the tokenizer allows; none without a tokenizer. */
  readonly templates: readonly ChatTemplateName[];
  readonly default: ChatTemplateName;
  /** For people, if answers will make no sense. */
  readonly note: string | undefined;
}

/** The prompt of a conversation. */
export interface ChatPrompt {
  /** The text that the model reads. Encoding it may give other ids: in contents, names of control tokens are only text. */
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** Texts that end the answer: those of the options, then those of the template. */
  readonly stop: readonly string[];
}

/** A toy is smaller than this. Grok-1 has 314e9 parameters. */
const leastParametersToChat = 1e9;

export function chatInfo(tokenizer: Tokenizer | undefined, numParameters: number): ChatInfo {
  const millions = (numParameters / 1e6).toPrecision(3);
  return {
    templates: tokenizer ? templatesFor(tokenizer) : [],
    default: chatOptions.template.default,
    note:
      numParameters < leastParametersToChat
        ? `This model is a toy of ${millions} million parameters. It cannot chat; it only continues texts.`
        : undefined,
  };
}

/** Checks a conversation as far as possible before any work. */
export function checkChat(
  messages: unknown,
  options: ChatOptions | undefined,
  host: PromptHost,
): [conversation: Conversation, options: ResolvedGenerateOptions] {
  const { template: name, ...resolved } = resolveChatOptions(options, host);
  const tokenizer = requireTokenizer(host.tokenizer, 'a conversation');
  requireTemplate(name, tokenizer);
  const template = chatTemplate(name, host.contextSize);
  const conversation = new Conversation(messages, template, tokenizer);
  return [conversation, { ...resolved, stop: [...resolved.stop, ...template.stop] }];
}

/** @throws {GrokError} as a generation of the same conversation would fail */
export async function chatPrompt(
  messages: unknown,
  options: ChatOptions | undefined,
  host: PromptHost,
): Promise<ChatPrompt> {
  const [conversation, resolved] = checkChat(messages, options, host);
  const { text, ids } = await fitConversation(conversation, host, resolved);
  return { text, tokenIds: ids, stop: resolved.stop };
}
