// One scenario of the published Atoma SDK, unmodified, against a running gateway. Prints one JSON line.
//   GATEWAY, API_KEY, MODEL in the environment; the scenario's name as the argument.
import { AtomaSDK } from "atoma-sdk";

const { GATEWAY, API_KEY, MODEL } = process.env;
const sdk = (bearerAuth = API_KEY) => new AtomaSDK({ bearerAuth, serverURL: GATEWAY });
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

async function stream(extra) {
  let text = "", chunks = 0, finish = null;
  for await (const event of await sdk().confidentialChat.createStream(request(extra))) {
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

const scenarios = {
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
