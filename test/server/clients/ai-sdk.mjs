import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, streamText } from 'ai';

/** The answers that a program with Vercel's AI SDK gets. */
export async function useAiSdk(baseURL) {
  const provider = createOpenAICompatible({ name: 'grok-run', baseURL, includeUsage: true });
  const settings = { temperature: 0, maxOutputTokens: 8, maxRetries: 0 };
  const chat = await generateText({ model: provider.chatModel('grok-tiny'), prompt: 'Hello', ...settings });
  const completion = await generateText({
    model: provider.completionModel('grok-tiny'),
    prompt: 'Once upon a time',
    ...settings,
  });
  const stream = streamText({ model: provider.chatModel('grok-tiny'), prompt: 'Hello', ...settings });
  const deltas = [];
  for await (const delta of stream.textStream) deltas.push(delta);
  const error = await generateText({ model: provider.chatModel('other'), prompt: 'Hello', ...settings }).catch(
    (thrown) => thrown,
  );
  return {
    chat: { text: chat.text, finishReason: chat.finishReason, usage: chat.usage },
    completion: { text: completion.text, finishReason: completion.finishReason },
    deltas,
    streamUsage: await stream.usage,
    error: { name: error.name, statusCode: error.statusCode, message: error.message },
  };
}
