// One scenario with the Vercel AI SDK or LangChain, unmodified, against a sidecar; one JSON line on standard output.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = process.env.SIDECAR; // ends in /v1
const model = process.env.MODEL;
const [scenario, api] = process.argv.slice(2);
globalThis.AI_SDK_LOG_WARNINGS = false; // they go to standard output
const prompt = "Hello?";
const answer = z.object({ n: z.number() });

// The Vercel AI SDK, over each of its packages.
const vercel = {
  chat: createOpenAICompatible({ name: "sidecar", baseURL, supportsStructuredOutputs: true, includeUsage: true }),
  responses: createOpenAI({ baseURL, apiKey: "any" }),
  messages: createAnthropic({ baseURL, apiKey: "any" }),
};
const ask = more => ({ model: vercel[api](model), prompt, temperature: 0, maxRetries: 0, providerOptions: { openai: { store: false } }, ...more });
const weather = tool({ description: "The weather of a city.", inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `${city}: rain` });

// LangChain, over either API of OpenAI's.
const langchain = more => new ChatOpenAI({
  model, apiKey: "any", temperature: 0, maxRetries: 0, useResponsesApi: api === "responses", configuration: { baseURL }, ...more,
});
const lookUp = langchainTool(({ city }) => `${city}: rain`, { name: "weather", description: "The weather of a city.", schema: z.object({ city: z.string() }) });

const scenarios = {
  async "ai-whole"() {
    const done = await generateText(ask());
    return { text: done.text, finish: done.finishReason, tokens: done.usage.outputTokens, node: done.response.headers["confidential-node"] };
  },
  async "ai-stream"() {
    const stream = streamText(ask());
    let text = "", parts = 0;
    for await (const part of stream.textStream) {
      parts++;
      text += part;
    }
    return { text, parts, finish: await stream.finishReason, tokens: (await stream.usage).outputTokens };
  },
  async "ai-tools"() {
    const done = await generateText(ask({ tools: { weather }, stopWhen: stepCountIs(3) }));
    return { text: done.text, steps: done.steps.length, calls: done.steps[0].toolCalls.map(call => call.input.city) };
  },
  async "ai-tools-stream"() {
    const stream = streamText(ask({ tools: { weather }, stopWhen: stepCountIs(3) }));
    const text = await stream.text;
    const steps = await stream.steps;
    return { text, steps: steps.length, calls: steps[0].toolCalls.map(call => call.input.city), thoughts: steps[0].reasoningText ?? null };
  },
  async "ai-structured"() {
    const done = await generateText(ask({ output: Output.object({ schema: answer }) }));
    return { parsed: done.output };
  },
  async "ai-embeddings"() {
    const embedder = api === "responses" ? vercel.responses.embedding(model) : vercel.chat.embeddingModel(model);
    const { embeddings } = await embedMany({ model: embedder, values: ["one", "two"], maxRetries: 0 });
    return { sizes: embeddings.map(vector => vector.length), numbers: embeddings.every(vector => vector.every(Number.isFinite)) };
  },
  async "ai-unknown-model"() {
    return generateText({ model: vercel[api]("gpt-4o"), prompt, maxRetries: 2 }); // it would wait seconds between tries
  },
  async "ai-truncated"() {
    const seen = [], errors = [];
    const stream = streamText(ask({ onError() {} }));
    try {
      for await (const part of stream.fullStream) {
        seen.push(part.type);
        if (part.type === "error") errors.push(part.error?.message ?? JSON.stringify(part.error));
      }
    } catch (e) { // the connection that broke, after the error that the stream told
      errors.push(e.message);
    }
    return { seen, errors };
  },
  async "ai-abort"() {
    const leaving = new AbortController();
    const stream = streamText(ask({ abortSignal: leaving.signal, onError() {} }));
    let parts = 0, aborted = false;
    for await (const part of stream.fullStream) {
      if (part.type === "text-delta" && ++parts === 1) leaving.abort();
      aborted ||= part.type === "abort";
    }
    return { parts, aborted };
  },
  async "ai-turns"() { // what the SDK does by itself: it takes the server for one that keeps responses
    const first = await generateText({ model: vercel[api](model), prompt, maxRetries: 0 });
    const messages = [{ role: "user", content: prompt }, ...first.response.messages, { role: "user", content: "And?" }];
    return { text: (await generateText({ model: vercel[api](model), messages, maxRetries: 0 })).text };
  },
  async "ai-turns-unstored"() {
    const first = await generateText(ask());
    const messages = [{ role: "user", content: prompt }, ...first.response.messages, { role: "user", content: "And?" }];
    return { text: (await generateText(ask({ prompt: undefined, messages }))).text };
  },
  async "lc-whole"() {
    const done = await langchain().invoke(prompt);
    return { text: done.text, tokens: done.usage_metadata?.output_tokens ?? null };
  },
  async "lc-stream"() {
    let text = "", parts = 0, tokens = null;
    for await (const chunk of await langchain().stream(prompt)) {
      parts++;
      text += chunk.text;
      tokens = chunk.usage_metadata?.output_tokens ?? tokens;
    }
    return { text, parts, tokens };
  },
  async "lc-tools"() {
    const bound = langchain().bindTools([lookUp]);
    const ask = async messages => { // "streaming: true" would fetch a tokenizer from elsewhere, to count what it is told anyway
      if (process.argv[4] !== "stream") return bound.invoke(messages);
      let whole;
      for await (const chunk of await bound.stream(messages)) whole = whole?.concat(chunk) ?? chunk;
      return whole;
    };
    const messages = [new HumanMessage(prompt)];
    const first = await ask(messages);
    messages.push(first);
    for (const call of first.tool_calls) messages.push(await lookUp.invoke(call));
    return { calls: first.tool_calls.map(call => call.args.city), result: messages.at(-1) instanceof ToolMessage, text: (await ask(messages)).text };
  },
  async "lc-structured"() {
    return { parsed: await langchain().withStructuredOutput(answer, { name: "answer", method: "jsonSchema" }).invoke(prompt) };
  },
  async "lc-embeddings"() {
    const vectors = await new OpenAIEmbeddings({ model, apiKey: "any", maxRetries: 0, configuration: { baseURL } }).embedDocuments(["one", "two"]);
    return { sizes: vectors.map(vector => vector.length), numbers: vectors.every(vector => vector.every(Number.isFinite)) };
  },
  async "lc-unknown-model"() {
    return langchain({ model: "gpt-4o", maxRetries: 2 }).invoke(prompt);
  },
  async "lc-truncated"() {
    return scenarios["lc-stream"]();
  },
  async "lc-abort"() {
    const leaving = new AbortController();
    let parts = 0;
    try {
      for await (const chunk of await langchain().stream(prompt, { signal: leaving.signal })) {
        if (chunk.text && ++parts === 1) leaving.abort();
      }
    } catch {
      return { parts, aborted: true };
    }
    return { parts, aborted: false };
  },
  async "lc-turns"() {
    const first = await langchain().invoke(prompt);
    return { text: (await langchain().invoke([new HumanMessage(prompt), new AIMessage(first), new HumanMessage("And?")])).text };
  },
};

let result;
try {
  result = await scenarios[scenario]();
} catch (e) {
  result = {
    failed: true, kind: e.name === "Error" ? e.constructor.name : e.name, isTyped: APICallError.isInstance(e) || "status" in e,
    status: e.statusCode ?? e.status ?? null, text: e.message,
  };
}
console.log(JSON.stringify(result));
