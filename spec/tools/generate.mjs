// Makes spec/vectors from nothing but the code beside it: the same bytes on every run.
//   node spec/tools/generate.mjs           writes them
//   node spec/tools/generate.mjs --check   fails where what is there differs
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { sealRequest } from './envelope.mjs';
import { bytes, kems, keySchedule, nonceOf, seal, sequence, u16, x25519Public } from './hpke.mjs';
import * as ohttp from './oblivious.mjs';
import * as receipts from './receipts.mjs';
import { vouchers } from './vouchers.mjs';

// Test keys only: every one is the hash of its name.
const secretOf = (name, size) => createHash('shake256', { outputLength: size }).update(`confidentialchat test vector: ${name}`).digest();
const hex = (value) => Buffer.from(value).toString('hex');
const randomnessSize = { 0x0020: 32, 0x647a: 64 };

function setup(name, suite, info) {
  const kem = kems[suite.kem_id];
  const node_secret_key = secretOf(`${name} node`, 32);
  const public_key = kem.publicKey(node_secret_key);
  const randomness = secretOf(`${name} client`, randomnessSize[suite.kem_id]);
  const { enc, secret } = kem.encap(public_key, randomness);
  if (!kem.decap(node_secret_key, enc).equals(secret)) throw new Error('the KEM does not agree with itself');
  return { node_secret_key, public_key, randomness, enc, schedule: keySchedule(suite, secret, info) };
}

// --- HPKE

function hpkeVector(kem_id, aead_id) {
  const suite = { kem_id, kdf_id: 1, aead_id };
  const info = bytes(`info of ${kem_id}/${aead_id}`);
  const { node_secret_key, public_key, randomness, enc, schedule } = setup(`hpke ${kem_id} ${aead_id}`, suite, info);
  const encryptions = [0, 1, 2, 255, 256, 65536, 2 ** 32].map((seq) => {
    const [aad, pt, nonce] = [bytes(`Count-${seq}`), seq === 2 ? bytes() : bytes(`message ${seq}`), nonceOf(schedule.base_nonce, seq)];
    return { seq, aad: hex(aad), pt: hex(pt), nonce: hex(nonce), ct: hex(seal(aead_id, schedule.key, nonce, aad, pt)) };
  });
  const exports = [['', 32], ['\0', 16], ['TestContext', 64]].map(([context, L]) => ({
    exporter_context: hex(bytes(context)),
    L,
    exported_value: hex(schedule.export(bytes(context), L)),
  }));
  return {
    mode: 0,
    ...suite,
    info: hex(info),
    skRm: hex(node_secret_key),
    pkRm: hex(public_key),
    randomness: hex(randomness),
    enc: hex(enc),
    shared_secret: hex(schedule.shared_secret),
    key: hex(schedule.key),
    base_nonce: hex(schedule.base_nonce),
    exporter_secret: hex(schedule.exporter_secret),
    encryptions,
    exports,
  };
}

// --- A whole chunked exchange, and what may happen to it

function exchange(name, key_id, kem_id, aead_id, offered, requestTexts, answerTexts) {
  const suite = { kem_id, kdf_id: 1, aead_id };
  const hdr = ohttp.header({ key_id, ...suite });
  const info = ohttp.info(hdr);
  const { node_secret_key, public_key, randomness, enc, schedule } = setup(name, suite, info);
  const suites = offered.map((aead) => [1, aead]);
  const requestChunks = requestTexts.map((text) => bytes(text));
  const answerChunks = answerTexts.map((text) => bytes(text));
  const request = bytes(hdr, enc, ohttp.sealChunks(sequence(aead_id, schedule.key, schedule.base_nonce), requestChunks));
  const response_nonce = secretOf(`${name} response nonce`, ohttp.entropyLength(aead_id));
  const keys = ohttp.answerKeys(schedule, aead_id, enc, response_nonce);
  const answer = bytes(response_nonce, ohttp.sealChunks(sequence(aead_id, keys.aead_key, keys.aead_nonce), answerChunks));

  const held = [{ key_id, kem_id, secret_key: node_secret_key, suites }];
  const directions = {
    request: { message: request, beginning: 7 + enc.length, limits: ohttp.limits.request, open: (input, limits) => ohttp.openRequest(held, input, limits) },
    answer: {
      message: answer,
      beginning: response_nonce.length,
      limits: ohttp.limits.answer,
      open: (input, limits) => ohttp.openAnswer(schedule, aead_id, enc, input, limits),
    },
  };
  const cases = Object.entries(directions).flatMap(([direction, side]) => casesOf(direction, side));
  return {
    name,
    key_configuration: hex(ohttp.writeConfiguration({ key_id, kem_id, public_key, suites })),
    kem_id,
    kdf_id: 1,
    aead_id,
    node_secret_key: hex(node_secret_key),
    randomness: hex(randomness),
    info: hex(info),
    request_chunks: requestChunks.map(hex),
    request: hex(request),
    response_nonce: hex(response_nonce),
    response_secret: hex(keys.secret),
    response_prk: hex(keys.prk),
    response_key: hex(keys.aead_key),
    response_base_nonce: hex(keys.aead_nonce),
    answer_chunks: answerChunks.map(hex),
    answer: hex(answer),
    cases,
  };
}

// A case is the first `keep` bytes of the message and `then` after them, with the default limits or those named.
function casesOf(direction, { message, beginning, limits, open }) {
  const sealed = split(message.subarray(beginning));
  const frame = (chunk, size) => bytes(ohttp.varint(chunk.length, size), chunk);
  const join = (chunks) => bytes(...chunks.slice(0, -1).map((chunk) => frame(chunk)), ohttp.varint(0), chunks.at(-1));
  const flip = (at) => {
    const flipped = Buffer.from(message.subarray(at, at + 1));
    flipped[0] ^= 1;
    return bytes(flipped, message.subarray(at + 1));
  };
  const spelled = (size) => bytes(...sealed.slice(0, -1).map((chunk) => frame(chunk, size)), ohttp.varint(0, size), sealed.at(-1));
  const finalAt = message.length - sealed.at(-1).length;
  const edits = [
    ['untouched', message.length, ''],
    ['empty', 0, ''],
    ['cut in the beginning', beginning - 1, ''],
    ['cut before the first length', beginning, ''],
    ['cut in the first chunk', beginning + 5, ''],
    ['cut before the final length', finalAt - 1, ''],
    ['cut after the final length', finalAt, ''],
    ['cut inside the final tag', finalAt + 15, ''],
    ['final chunk damaged', message.length - 1, flip(message.length - 1)],
    ['bytes after the final chunk', message.length, '00'],
    ['first chunk damaged', beginning + 1, flip(beginning + 1)],
    ['chunks swapped', beginning, join([sealed[1], sealed[0], ...sealed.slice(2)])],
    ['chunk doubled', beginning, join([sealed[0], ...sealed])],
    ['chunk dropped', beginning, join(sealed.slice(1))],
    ['final chunk dropped, another in its place', beginning, join(sealed.slice(0, -1))],
    ['final chunk behind its length', finalAt - 1, bytes(frame(sealed.at(-1)), ohttp.varint(0))],
    ['chunk of one byte', beginning, bytes([1, 0])],
    ['chunk of a bare tag', beginning, frame(Buffer.alloc(16))],
    ['chunk above the limit', beginning, ohttp.varint(16401)],
    ['chunk of 2^62 - 1 bytes', beginning, Buffer.alloc(8, 0xff)],
    ['length cut', beginning, bytes([0x80, 0])],
    ['lengths of 2 bytes', beginning, spelled(2)],
    ['lengths of 4 bytes', beginning, spelled(4)],
    ['lengths of 8 bytes', beginning, spelled(8)],
    ['one chunk too many', message.length, '', { chunks: sealed.length - 1 }],
    ['one byte too many', message.length, '', { bytes: sealed.reduce((sum, chunk) => sum + chunk.length, 0) - 1 }],
  ];
  if (direction === 'request') {
    edits.push(['unknown key id', 0, bytes([message[0] ^ 0xff], message.subarray(1))]);
    edits.push(['unknown KEM', 1, bytes(u16(0x0041), message.subarray(3))]);
    edits.push(['unknown KDF', 3, bytes(u16(2), message.subarray(5))]);
    edits.push(['AEAD that the key does not offer', 5, bytes(u16(1), message.subarray(7))]);
    edits.push(['export-only AEAD', 5, bytes(u16(0xffff), message.subarray(7))]);
    edits.push(['enc damaged', 7, flip(7)]);
    edits.push(['enc of low order', beginning - 32, bytes(Buffer.alloc(32), message.subarray(beginning))]);
  } else {
    edits.push(['nonce damaged', 0, flip(0)]);
  }
  return edits.map(([id, keep, then, named]) => {
    const rest = typeof then === 'string' ? Buffer.from(then, 'hex') : then;
    const { outcome, chunks } = open(bytes(message.subarray(0, keep), rest), { ...limits, ...named });
    return { direction, id, keep, then: hex(rest), ...(named && { limits: named }), outcome, chunks_opened: chunks.length };
  });
}

function split(framed) {
  const chunks = [];
  for (let at = 0; ; ) {
    const size = 1 << (framed[at] >> 6);
    let length = framed[at] & 0x3f;
    for (let i = 1; i < size; i++) length = (length << 8) | framed[at + i];
    at += size;
    if (length === 0) return [...chunks, framed.subarray(at)];
    chunks.push(framed.subarray(at, (at += length)));
  }
}

// --- Lists of key configurations

function lists() {
  const entry = (key_id, kem_id, aeadIds, name = `list ${key_id}`) =>
    ohttp.writeConfiguration({ key_id, kem_id, public_key: kems[kem_id].publicKey(secretOf(name, 32)), suites: aeadIds.map((aead) => [1, aead]) });
  const [hybrid, classic] = [entry(1, 0x647a, [2, 3]), entry(2, 0x0020, [2])];
  const classicHead = classic.subarray(0, 35);
  const both = ohttp.writeList([hybrid, classic]);
  const lowOrder = (kem) => bytes(kem.subarray(0, kem.length - 32), Buffer.alloc(32));
  const notReduced = Buffer.from(hybrid);
  notReduced[3] = 0xff;
  notReduced[4] |= 0x0f;
  return [
    ['both KEMs', both],
    ['hybrid alone', ohttp.writeList([hybrid])],
    ['unknown KEM skipped', ohttp.writeList([bytes([9], u16(0x0041), Buffer.alloc(20)), classic])],
    ['unknown KEM alone', ohttp.writeList([bytes([9], u16(0x0041))])],
    ['unknown suites passed over', ohttp.writeList([bytes(classicHead, u16(8), u16(9), u16(9), u16(1), u16(3))])],
    ['unknown suites alone', ohttp.writeList([bytes(classicHead, u16(4), u16(1), u16(0xffff)), hybrid])],
    ['empty', bytes()],
    ['bytes after it', bytes(both, [0])],
    ['cut', both.subarray(0, both.length - 1)],
    ['entry too short', ohttp.writeList([classic, bytes([1, 0])])],
    ['no suites', ohttp.writeList([bytes(classicHead, u16(0))])],
    ['half a suite', ohttp.writeList([bytes(classicHead, u16(6), Buffer.alloc(6))])],
    ['bytes after the suites', ohttp.writeList([bytes(classic, [0])])],
    ['suites longer than the entry', ohttp.writeList([bytes(classicHead, u16(8), u16(1), u16(2))])],
    ['one id twice', ohttp.writeList([hybrid, entry(1, 0x0020, [2], 'another')])],
    ['X25519 key of low order', ohttp.writeList([hybrid, bytes([2, 0, 0x20], Buffer.alloc(32), classic.subarray(35))])],
    ['hybrid key whose X25519 half is of low order', ohttp.writeList([bytes(lowOrder(hybrid.subarray(0, 1219)), hybrid.subarray(1219))])],
    ['ML-KEM key that is not reduced', ohttp.writeList([notReduced])],
  ].map(([id, list]) => {
    const usable = ohttp.parseList(list);
    return { id, list: hex(list), outcome: usable ? 'Parsed' : 'Malformed', key_ids: usable?.map((entry) => entry.key_id) ?? [] };
  });
}

// --- Envelope v1

function envelope() {
  const name = 'envelope v1';
  const model = 'demo';
  const [nodeKey, clientKey] = [secretOf(`${name} node`, 32), secretOf(`${name} client`, 32)];
  const blanks = [...secretOf(`${name} blanks`, 128)].map((byte) => (byte & 1 ? '\t' : ' ')).join('');
  const request = { model, messages: [{ role: 'user', content: 'Good morning' }], stream: false };
  const { envelope, sealAnswer, sealEvents } = sealRequest({
    clientKey,
    nodeKey: x25519Public(nodeKey),
    salt: secretOf(`${name} salt`, 16),
    nonce: secretOf(`${name} nonce`, 12),
    body: request,
    blanks,
    outer: { model_name: model, stack_small_id: 1, stream: false, num_compute_units: 8192 },
  });
  const [usage, created] = [{ prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 }, 1767225600];
  const answer = { id: 'chatcmpl-1', object: 'chat.completion', created, model, choices: [{ index: 0, message: { role: 'assistant', content: 'Good morning!' }, logprobs: null, finish_reason: 'stop' }], usage };
  const chunk = (delta, finish_reason) => ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created, model, choices: [{ index: 0, delta, logprobs: null, finish_reason }] });
  const events = [chunk({ content: 'Good ' }, null), chunk({ content: 'morning!' }, null), chunk({}, 'stop')];
  return {
    node_secret_key: hex(nodeKey),
    client_secret_key: hex(clientKey),
    request,
    blanks,
    envelope,
    answer,
    sealed_answer: { ...sealAnswer(secretOf(`${name} answer nonce`, 12), answer, 288), usage },
    events,
    sealed_events: sealEvents(events.map((_, i) => secretOf(`${name} event nonce ${i}`, 12)), events, 256),
  };
}

// --- Whole exchanges of envelope v2 with their receipts

const [model, path] = ['demo', '/v1/chat/completions'];
const request_id = 'f81d4fae-7dec-41d0-a765-00a0c91e6bf6';
const time = 1767225600;

function receipted(name, answer, { weights, usage, end = 0 }) {
  const suite = { kem_id: 0x647a, kdf_id: 1, aead_id: 2 };
  const key_id = 5;
  const hdr = ohttp.header({ key_id, ...suite });
  const { node_secret_key, public_key, randomness, enc, schedule } = setup(name, suite, ohttp.info(hdr));
  const [x25519, signing] = [secretOf(`${name} x25519`, 32), secretOf(`${name} signing`, 32)];
  const list = ohttp.writeList([ohttp.writeConfiguration({ key_id, kem_id: suite.kem_id, public_key, suites: [[1, 2]] })]);
  const key_set = receipts.keySetDigest(list, x25519Public(x25519), receipts.ed25519Public(signing));

  const max_units = 16384;
  const json = JSON.stringify({ model, messages: [{ role: 'user', content: 'Good morning' }], ...(answer.events && { stream: true }) });
  const fields = [
    ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
    ['confidential-model', model],
    ['confidential-request-id', request_id],
    ['confidential-max-units', `${max_units}`],
    ['content-type', 'application/json'],
  ];
  const message = receipts.requestMessage({ method: 'POST', path, fields, content: json });
  const request = bytes(hdr, enc, ohttp.sealChunks(sequence(2, schedule.key, schedule.base_nonce), receipts.chunksOf(receipts.padded(message))));

  const salts = secretOf(`${name} salts`, 64);
  let container;
  const { chunks, hashed, trailers } = receipts.answerChunks(answer, (content) => {
    const payload = receipts.payloadOf({
      request: request_id,
      encapsulation: receipts.sha256(hdr, enc),
      requestHash: receipts.saltedHash(salts.subarray(0, 32), 'request', message),
      answerHash: receipts.saltedHash(salts.subarray(32), 'answer', content),
      status: answer.status,
      model,
      weights: weights ? secretOf(weights, 32) : null,
      maxUnits: max_units,
      usage,
      end,
    });
    container = receipts.signContainer(signing, receipts.cbor(receipts.protectedHeader({ keySet: key_set, request: request_id, time })), receipts.cbor(payload));
    return receipts.trailers(container, salts);
  });
  if (receipts.judge(container, receipts.ed25519Public(signing)) !== 'Accepted') throw new Error('a receipt does not hold');
  const response_nonce = secretOf(`${name} response nonce`, ohttp.entropyLength(2));
  const keys = ohttp.answerKeys(schedule, 2, enc, response_nonce);
  const messages = sequence(2, keys.aead_key, keys.aead_nonce);
  // An engine that broke off: no chunk is final.
  const sealedAnswer =
    end === 0
      ? ohttp.sealChunks(messages, chunks)
      : bytes(...chunks.flatMap((chunk) => [messages.seal('', chunk)]).flatMap((sealed) => [ohttp.varint(sealed.length), sealed]));
  return {
    name,
    node_secret_key: hex(node_secret_key),
    key_configurations: hex(list),
    x25519_secret_key: hex(x25519),
    signing_seed: hex(signing),
    signing: hex(receipts.ed25519Public(signing)),
    key_set: hex(key_set),
    randomness: hex(randomness),
    call: { method: 'POST', path, model, request_id, max_units, date: time, body: json },
    request_message: hex(message),
    request: hex(request),
    answer: { ...answer, usage, end },
    ...(weights && { weights: hex(secretOf(weights, 32)) }),
    time,
    salts: hex(salts),
    answer_message: hex(hashed),
    receipt: hex(container),
    trailers,
    response_nonce: hex(response_nonce),
    sealed_answer: hex(bytes(response_nonce, sealedAnswer)),
  };
}

function exchangesWithReceipts() {
  const json = [['content-type', 'application/json']];
  const stream = [['content-type', 'text/event-stream']];
  const chunk = (text) => `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}]}\n\n`;
  return [
    receipted('a whole answer', { status: 200, fields: json, content: '{"object":"chat.completion"}' }, { weights: 'weights', usage: [12, 3, 0] }),
    receipted('a whole answer after a sign of life', { status: 200, fields: json, content: 'x'.repeat(20000), signOfLife: true }, { usage: [12, 3, 0] }),
    receipted('a refusal', { status: 400, fields: json, content: '{"error":{"message":"no"}}' }, { weights: 'weights', usage: [0, 0, 0] }),
    receipted('a stream', { status: 200, fields: stream, events: [chunk('Good '), ': keep-alive\n\n', chunk('morning'.repeat(60)), 'data: [DONE]\n\n'] }, { weights: 'weights', usage: [12, 2, 0] }),
    receipted('a stream after a sign of life', { status: 200, fields: stream, events: [chunk('!'), 'data: [DONE]\n\n'], signOfLife: true }, { usage: [12, 1, 0] }),
    receipted('a stream whose engine broke off', { status: 200, fields: stream, events: [chunk('Good '), 'data: {"unfin'] }, { weights: 'weights', usage: [12, 1, 0], end: 1 }),
  ];
}

// --- Containers that are right, and that are not

function containers() {
  const seed = secretOf('containers signing', 32);
  const keySet = secretOf('containers key set', 32);
  const header = () => receipts.protectedHeader({ keySet, request: request_id, time });
  const payload = () =>
    receipts.payloadOf({
      request: request_id,
      encapsulation: secretOf('containers encapsulation', 32),
      requestHash: secretOf('containers request', 32),
      answerHash: secretOf('containers answer', 32),
      status: 200,
      model,
      weights: secretOf('weights', 32),
      maxUnits: 8192,
      usage: [12, 3, 0],
      end: 0,
    });
  const [right, facts] = [receipts.cbor(header()), receipts.cbor(payload())];
  const sign = (protectedBytes = right, payloadBytes = facts, unprotected) => receipts.signContainer(seed, protectedBytes, payloadBytes, unprotected);
  const changed = (map, label, value) => receipts.cbor(value === undefined ? new Map([...map].filter(([known]) => known !== label)) : new Map([...map, [label, value]]));
  const head = (label, value) => sign(changed(header(), label, value));
  const claim = (label, value) => head(15, new Map([...header().get(15)].filter(([known]) => value !== undefined || known !== label).concat(value === undefined ? [] : [[label, value]])));
  const fact = (label, value) => sign(right, changed(payload(), label, value));
  const good = sign();
  const flip = (at) => {
    const flipped = Buffer.from(good);
    flipped[at] ^= 1;
    return flipped;
  };
  const tagless = good.subarray(1);
  const cases = [
    ['untouched', good],
    ['alg -19', head(1, -19)],
    ['no weights', fact(8, null)],
    ['cut off by its engine', fact(11, 1)],
    ['signature flipped', flip(good.length - 1)],
    ['signature of another size', bytes(good.subarray(0, good.length - 66), receipts.cbor(Buffer.alloc(63)))],
    ['a hash flipped', flip(good.indexOf(secretOf('containers answer', 32)))],
    ['alg -7', head(1, -7)],
    ['alg 5', head(1, 5)],
    ['another content type', head(3, 'application/vnd.confidentialchat.usage+cbor')],
    ['another kid', head(4, secretOf('another', 32))],
    ['a kid of 31 bytes', head(4, secretOf('another', 31))],
    ['another issuer', claim(1, 'urn:confidentialchat:keyset:00')],
    ['subject in capitals', claim(2, `urn:uuid:${request_id.toUpperCase()}`)],
    ['an audience', claim(3, 'urn:confidentialchat:gateway:00')],
    ['a time below zero', claim(6, -1)],
    ['no subject', claim(2)],
    ['no kid', head(4)],
    ['an unknown label', head(5, Buffer.from('iv'))],
    ['a label in text', sign(bytes([0xa5], right.subarray(1), receipts.cbor('alg'), [0x27]))],
    ['crit', head(2, [1])],
    ['a label twice', sign(bytes([0xa5, 0x01, 0x27], right.subarray(1)))],
    ['labels out of order', sign(bytes([0xa4], right.subarray(3), right.subarray(1, 3)))],
    ['a longer count', sign(bytes([0xb8, 0x04], right.subarray(1)))],
    ['an indefinite map', sign(bytes([0xbf], right.subarray(1), [0xff]))],
    ['a longer integer', sign(bytes(right.subarray(0, 2), [0x38, 0x07], right.subarray(3)))],
    ['a reserved form', sign(bytes(right.subarray(0, 2), [0x1c], right.subarray(3)))],
    ['nested claims', claim(1, [[['urn']]])],
    ['bytes after the header', sign(bytes(right, [0]))],
    ['unprotected content', sign(right, facts, receipts.cbor(new Map([[4, Buffer.from('kid')]])))],
    ['untagged', tagless],
    ['another tag', bytes([0xd1], tagless)],
    ['bytes after it', bytes(good, [0])],
    ['cut', good.subarray(0, good.length - 1)],
    ['empty', bytes()],
    ['huge', Buffer.alloc(4097, 0xd2)],
    ['version 2', fact(1, 2)],
    ['another request', fact(2, Buffer.alloc(16))],
    ['a hash of 31 bytes', fact(4, secretOf('another', 31))],
    ['status 102', fact(6, 102)],
    ['no model', fact(7, '')],
    ['usage below zero', fact(10, [12, -1, 0])],
    ['usage of two parts', fact(10, [12, 3])],
    ['end 2', fact(11, 2)],
    ['a member missing', fact(9)],
    ['a member too many', fact(12, 0)],
  ];
  const signing = receipts.ed25519Public(seed);
  return { signing: hex(signing), cases: cases.map(([id, container]) => ({ id, container: hex(container), outcome: receipts.judge(container, signing) })) };
}

// --- The files

const files = {
  'envelope-v1.json': {
    source: 'spec/tools/generate.mjs: one exchange, spec/envelope-v1.md sections 3, 7 and 8. Answer and events are sealed under the key of the request.',
    vectors: [envelope()],
  },
  'hpke.json': {
    source: 'spec/tools/generate.mjs: HPKE base mode, spec/oblivious-v2.md section 3; fields as in RFC 9180 appendix A. randomness is skE or eseed.',
    vectors: [[0x647a, 2], [0x647a, 1], [0x647a, 3], [0x0020, 2]].map(([kem, aead]) => hpkeVector(kem, aead)),
  },
  'chunked.json': {
    source: 'spec/tools/generate.mjs: whole chunked exchanges, spec/oblivious-v2.md sections 5 to 10. A case is the first keep bytes of its message, then the bytes then.',
    vectors: [
      exchange('MLKEM768-X25519, AES-256-GCM', 7, 0x647a, 2, [2, 3], ['the first chunk', 'the second chunk', 'the third'], ['event: one', 'event: two', 'event: three', '']),
      exchange('X25519, ChaCha20-Poly1305', 200, 0x0020, 3, [3], ['one', 'two', ''], ['one', 'two', 'three']),
    ],
  },
  'receipts.json': {
    source: 'spec/tools/generate.mjs: whole exchanges of envelope v2 with receipts, spec/receipts.md sections 1 to 3; and containers with what a reader makes of them.',
    vectors: exchangesWithReceipts(),
    containers: containers(),
  },
  'vouchers.json': {
    source: 'spec/tools/vouchers.mjs: vouchers alone and in batches, spec/vouchers.md sections 1 to 3; the index of each, and it as it is delivered. And what is refused, by the names of spec/receipts.md section 1, or spec/vouchers.md section 6 for signatures.',
    vectors: [vouchers(secretOf)],
  },
  'key-configurations.json': {
    source: 'spec/tools/generate.mjs: lists of key configurations, spec/oblivious-v2.md section 4.',
    vectors: lists(),
  },
};

const folder = new URL('../vectors/', import.meta.url);
const check = process.argv.includes('--check');
mkdirSync(folder, { recursive: true });
for (const [name, content] of Object.entries(files)) {
  const text = `${JSON.stringify(content, null, 1)}\n`;
  const file = new URL(name, folder);
  if (!check) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`error: spec/vectors/${name} is not what spec/tools/generate.mjs makes\nhint: node spec/tools/generate.mjs`);
    process.exitCode = 1;
  }
}
