import { ChatOpenAI, OpenAI } from '@langchain/openai';

/** The answers that a program with LangChain gets. */
export async function useLangchain(baseURL) {
  const settings = { apiKey: 'none', model: 'grok-tiny', temperature: 0, maxTokens: 8, maxRetries: 0 };
  const configuration = { baseURL };
  const chatModel = new ChatOpenAI({ ...settings, configuration });
  const chat = await chatModel.invoke('Hello');
  const deltas = [];
  for await (const part of await chatModel.stream('Hello')) deltas.push(part.content);
  const llm = new OpenAI({ ...settings, configuration });
  const completion = await llm.invoke('Once upon a time');
  const pieces = [];
  for await (const piece of await llm.stream('Once upon a time')) pieces.push(piece);
  return { chat: chat.content, usage: chat.usage_metadata, deltas, completion, pieces };
}
