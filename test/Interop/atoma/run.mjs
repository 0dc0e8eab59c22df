// One scenario of the published Atoma SDK, unmodified, against a running gateway. Prints one JSON line.
//   GATEWAY, API_KEY, MODEL in the environment; the scenario's name as the argument.
import { AtomaSDK } from "atoma-sdk";

const { GATEWAY, API_KEY, MODEL } = process.env;
const sdk = (bearerAuth = API_KEY, options = {}) => new AtomaSDK({ bearerAuth, serverURL: GATEWAY, ...options });
const backoff = { strategy: "backoff", backoff: { initialInterval: 10, maxInterval: 5000, exponent: 1.5, maxElapsedTime: 30_000 }, retryConnectionErrors: false };
const request = (extra = {}) => ({
  model: MODEL,
  messages: [{ role: "user", content: "Grüße, 世界! 🔒" }],
  temperature: 0,
  maxTokens: 400,
  ...extra,
});

async function whole() {
  const answer = await sdk().confidentialChat.create(request());
  return { text: answer.choices[0].message.content, finish: answer.choices[0].finishReason, usage: answer.usage };
}

async function stream(extra, options) {
  let text = "", chunks = 0, finish = null;
  for await (const event of await sdk(API_KEY, options).confidentialChat.createStream(request(extra))) {
    chunks++;
    const choice = event.data.choices[0];
    text += choice?.delta.content ?? "";
    finish = choice?.finishReason ?? finish;
  }
  return { text, chunks, finish };
}

async function failure(call) {
  try {
    await call();
    return { failed: false };
  } catch (error) {
    return { failed: true, name: error.name, status: error.statusCode, text: String(error.message), body: error.body ?? "" };
  }
}

async function embeddings() {
  const answer = await sdk().confidentialEmbeddings.create({ model: MODEL, input: ["Grüße", "世界 🔒"] });
  return { sizes: answer.data.map((item) => item.embedding.length), usage: answer.usage };
}

// The SDK sends the same bytes under the same lock again.
async function retry(call) {
  const started = performance.now();
  const answer = await call({ retryConfig: backoff });
  return { ...answer, milliseconds: performance.now() - started };
}

async function abort() {
  const controller = new AbortController();
  let chunks = 0;
  try {
    for await (const event of await sdk().confidentialChat.createStream(request(), { fetchOptions: { signal: controller.signal } })) {
      if (event.data && ++chunks === 3) controller.abort();
      if (chunks === 50) break; // Node 20 drops the signal of a Request that is collected while its answer comes: the reader leaves all the same
    }
    return { chunks };
  } catch (error) {
    return { chunks, name: error.name };
  }
}

const scenarios = {
  embeddings,
  images: async () => {
    const answer = await sdk().confidentialImages.generate({ model: MODEL, prompt: "a lock", n: 1, size: "256x256" });
    return { images: answer.data.length };
  },
  fifty: async () => ({ streams: await Promise.all(Array.from({ length: 50 }, () => stream())) }),
  retry: () => retry(async (options) => {
    const answer = await sdk(API_KEY, options).confidentialChat.create(request());
    return { text: answer.choices[0].message.content };
  }),
  "retry-stream": () => retry((options) => stream({}, options)),
  abort,
  large: async () => {
    const answer = await sdk().confidentialChat.create(request({ messages: [{ role: "user", content: "word ".repeat(40 * 1024) }] }));
    return { usage: answer.usage };
  },
  whole,
  stream,
  parallel: async () => ({ streams: await Promise.all(Array.from({ length: 20 }, () => stream())) }),
  "wrong-key": () => failure(() => sdk("cc_wrong").confidentialChat.create(request())),
  "wrong-key-stream": () => failure(() => sdk("cc_wrong").confidentialChat.createStream(request())),
  "unknown-model": () => failure(() => sdk().confidentialChat.create(request({ model: "no-such-model" }))),
};

const scenario = scenarios[process.argv[2]];
if (!scenario) {
  console.error(`unknown scenario: ${process.argv[2]}; known: ${Object.keys(scenarios).join(", ")}`);
  process.exit(2);
}
console.log(JSON.stringify(await scenario()));
