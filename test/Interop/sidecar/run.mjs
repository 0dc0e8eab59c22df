// One scenario with OpenAI's or Anthropic's client, unmodified, against a sidecar; one JSON line on standard output.
import OpenAI, { APIError } from "openai";
import Anthropic from "@anthropic-ai/sdk";

const base = process.env.SIDECAR; // ends in /v1
const model = process.env.MODEL;
const openai = new OpenAI({ baseURL: base, apiKey: "any", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: base.replace(/\/v1$/, ""), apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello?" }];

async function joined(stream) {
  let text = "", chunks = 0, finish = null;
  for await (const chunk of stream) {
    chunks++;
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  return { text, chunks, finish };
}

const scenarios = {
  async whole() {
    const { data, response, request_id } = await openai.chat.completions.create({ model, messages, temperature: 0 }).withResponse();
    return {
      text: data.choices[0].message.content, finish: data.choices[0].finish_reason, node: response.headers.get("confidential-node"), request: request_id,
    };
  },
  async stream() {
    return joined(await openai.chat.completions.create({ model, messages, temperature: 0, stream: true }));
  },
  async tools() {
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
    const stream = openai.chat.completions.stream({ model, messages, tools });
    const done = await stream.finalChatCompletion();
    const call = done.choices[0].message.tool_calls[0];
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments), finish: done.choices[0].finish_reason };
  },
  async structured() {
    const done = await openai.chat.completions.parse({
      model, messages,
      response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema: { type: "object", properties: { n: { type: "number" } } } } },
    });
    return { parsed: done.choices[0].message.parsed };
  },
  async embeddings() { // asks for base64 by itself
    const list = await openai.embeddings.create({ model, input: ["one", "two"] });
    return { sizes: list.data.map(item => item.embedding.length), numbers: list.data.every(item => item.embedding.every(Number.isFinite)) };
  },
  async models() {
    const ids = [];
    for await (const entry of openai.models.list()) ids.push(entry.id);
    return { ids, one: (await openai.models.retrieve(model)).id };
  },
  async "unknown-model"() {
    return openai.chat.completions.create({ model: "gpt-4o", messages });
  },
  async truncated() {
    return joined(await openai.chat.completions.create({ model, messages, stream: true }));
  },
  async abort() {
    const stream = await openai.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break; // the client aborts
    return { left: true };
  },
  async responses() {
    const response = await openai.responses.create({ model, input: "Hello?", store: false });
    return { text: response.output_text, status: response.status };
  },
  async "responses-stream"() {
    const stream = openai.responses.stream({ model, input: "Hello?", store: false });
    const response = await stream.finalResponse();
    return { text: response.output_text, status: response.status };
  },
  async messages() {
    const message = await anthropic.messages.create({ model, max_tokens: 64, messages });
    return { text: message.content[0].text, stop: message.stop_reason, request: message._request_id };
  },
  async "messages-stream"() {
    const message = await anthropic.messages.stream({ model, max_tokens: 64, messages }).finalMessage();
    return { text: message.content[0].text, stop: message.stop_reason };
  },
  async "messages-thinking"() { // of a model that calls a tool after a thought
    const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const message = await anthropic.messages.stream({ model, max_tokens: 2048, thinking, tools, messages }).finalMessage();
    const [thought, call] = message.content;
    const turns = [
      ...messages, { role: "assistant", content: message.content },
      { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "rain" }] },
    ];
    const answer = await anthropic.messages.create({ model, max_tokens: 2048, thinking, tools, messages: turns });
    return {
      thought: thought.thinking, signature: thought.signature, name: call.name, arguments: call.input, stop: message.stop_reason,
      text: answer.content[0].text,
    };
  },
  async "count-tokens"() {
    return { tokens: (await anthropic.messages.countTokens({ model, messages: [{ role: "user", content: "one two three" }] })).input_tokens };
  },
  async "messages-truncated"() {
    const seen = [];
    try {
      for await (const event of await anthropic.messages.create({ model, max_tokens: 64, messages, stream: true })) seen.push(event.type);
    } catch (e) {
      e.message += ` after ${seen}`;
      throw e;
    }
    return { seen };
  },
  async "messages-abort"() {
    const stream = anthropic.messages.stream({ model, max_tokens: 64, messages });
    stream.on("text", () => stream.abort());
    try {
      await stream.finalMessage();
    } catch (e) {
      return { left: e instanceof Anthropic.APIUserAbortError };
    }
    return { left: false };
  },
  async "responses-tools"() {
    const tools = [{ type: "function", name: "weather", strict: false, parameters: { type: "object", properties: { city: { type: "string" } } } }];
    const input = [{ role: "user", content: "Hello?" }];
    const first = await openai.responses.create({ model, input, tools, store: false });
    const call = first.output[0];
    input.push(call, { type: "function_call_output", call_id: call.call_id, output: "rain" });
    return { name: call.name, arguments: JSON.parse(call.arguments), text: (await openai.responses.create({ model, input, tools, store: false })).output_text };
  },
  async "responses-truncated"() {
    const seen = [];
    for await (const event of await openai.responses.create({ model, input: "Hello?", store: false, stream: true })) seen.push(event.type);
    return { seen };
  },
  async "messages-unknown-model"() {
    return anthropic.messages.create({ model: "claude", max_tokens: 64, messages });
  },
};

let result;
try {
  result = await scenarios[process.argv[2]]();
} catch (e) {
  const isTyped = e instanceof APIError || e instanceof Anthropic.APIError;
  result = { failed: true, kind: e.constructor.name, isTyped, status: e.status ?? null, code: e.code ?? e.error?.error?.code ?? null, type: e.type ?? e.error?.error?.type ?? null, text: e.message };
}
console.log(JSON.stringify(result));
