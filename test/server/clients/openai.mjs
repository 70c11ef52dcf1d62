import OpenAI from 'openai';

/** The answers that a program with the client of OpenAI gets. */
export async function useOpenai(baseURL, apiKey = 'none') {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const model = (await client.models.list()).data[0].id;
  const prompt = 'Once upon a time';
  const messages = [{ role: 'user', content: 'Hello' }];
  const greedy = { model, temperature: 0, max_tokens: 8 };

  const completion = await client.completions.create({ ...greedy, prompt });
  const completionStream = await client.completions.create({
    ...greedy,
    prompt,
    stream: true,
    stream_options: { include_usage: true },
  });
  const pieces = [];
  for await (const part of completionStream) pieces.push(part);

  const chat = await client.chat.completions.create({ ...greedy, messages });
  const chatStream = client.chat.completions.stream({ ...greedy, messages });
  const deltas = [];
  chatStream.on('content', (delta) => deltas.push(delta));
  const finalChat = await chatStream.finalChatCompletion();
  return { model, retrieved: await client.models.retrieve(model), completion, pieces, chat, deltas, finalChat };
}

/** The error of each wrong request, by class and fields. */
export async function openaiErrors(baseURL, apiKey) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const wrong = {
    model: () => client.completions.create({ model: 'other', prompt: 'a' }),
    value: () => client.completions.create({ model: '', prompt: 'a', temperature: -1 }),
    context: () => client.completions.create({ model: '', prompt: 'a', max_tokens: 1e6 }),
    tools: () =>
      client.chat.completions.create({
        model: '',
        messages: [{ role: 'user', content: 'a' }],
        tools: [{ type: 'function', function: { name: 'f' } }],
      }),
    key: () => new OpenAI({ baseURL, apiKey: 'wrong', maxRetries: 0 }).models.list(),
  };
  const errors = {};
  for (const [name, send] of Object.entries(wrong)) {
    const error = await send().then(
      () => undefined,
      (thrown) => thrown,
    );
    const { status, code, param, requestID } = error;
    errors[name] = { class: error.constructor.name, status, code, param, hasRequestId: Boolean(requestID) };
  }
  return errors;
}

/** Stops a stream after its third part. */
export async function abortOpenai(baseURL) {
  const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
  const stream = await client.completions.create({
    model: '',
    prompt: 'Once upon a time',
    max_tokens: 480,
    stream: true,
    ignore_eos: true,
  });
  let parts = 0;
  for await (const _ of stream) if (++parts === 3) stream.controller.abort();
  return parts;
}
