// spec/oblivious-v2.md sections 4 to 10, written a second time, on whole byte strings instead of streams.
import { Nn, Nt, aeads, bytes, expand, extract, kems, keySchedule, sequence, u16 } from './hpke.mjs';

// --- Key configurations, section 4

export const writeConfiguration = ({ key_id, kem_id, public_key, suites }) =>
  bytes([key_id], u16(kem_id), public_key, u16(suites.length * 4), ...suites.flatMap(([kdf, aead]) => [u16(kdf), u16(aead)]));

export const writeList = (entries) => bytes(...entries.flatMap((entry) => [u16(entry.length), entry]));

/** The usable configurations of a list, or null where it is malformed. */
export function parseList(list) {
  if (list.length === 0 || list.length > 65536) return null;
  const usable = [];
  for (let at = 0; at < list.length; ) {
    if (list.length - at < 2) return null;
    const end = at + 2 + list.readUInt16BE(at);
    if (end > list.length) return null;
    const entry = parseEntry(list.subarray(at + 2, end));
    if (entry === null) return null;
    if (entry.key_id !== undefined) {
      if (usable.some((other) => other.key_id === entry.key_id)) return null;
      usable.push(entry);
    }
    at = end;
  }
  return usable;
}

function parseEntry(entry) {
  if (entry.length < 3) return null;
  const kem_id = entry.readUInt16BE(1);
  const kem = kems[kem_id];
  if (!kem) return {};
  const at = 3 + kem.Npk;
  if (entry.length < at + 2) return null;
  const public_key = entry.subarray(3, at);
  const length = entry.readUInt16BE(at);
  if (!kem.valid(public_key) || length !== entry.length - at - 2 || length < 4 || length % 4 !== 0) return null;
  const suites = [];
  for (let i = at + 2; i < entry.length; i += 4) {
    const suite = [entry.readUInt16BE(i), entry.readUInt16BE(i + 2)];
    if (suite[0] === 1 && aeads[suite[1]]) suites.push(suite);
  }
  return suites.length === 0 ? {} : { key_id: entry[0], kem_id, public_key, suites };
}

// --- Messages, sections 5 to 7

export const header = ({ key_id, kem_id, kdf_id, aead_id }) => bytes([key_id], u16(kem_id), u16(kdf_id), u16(aead_id));
export const info = (hdr) => bytes('message/bhttp chunked request', [0], hdr);

export function varint(value, size = value < 64 ? 1 : value < 16384 ? 2 : 4) {
  const output = Buffer.alloc(size);
  let rest = BigInt(value);
  for (let i = size - 1; i >= 0; i--, rest >>= 8n) output[i] = Number(rest & 255n);
  output[0] |= Math.log2(size) << 6;
  return output;
}

/** Frames and seals chunks, the last one as the final chunk. */
export function sealChunks(messages, chunks) {
  const parts = chunks.slice(0, -1).map((chunk) => messages.seal('', chunk)).flatMap((sealed) => [varint(sealed.length), sealed]);
  return bytes(...parts, varint(0), messages.seal('final', chunks.at(-1)));
}

/** {outcome, chunks}: what a receiver with these limits makes of the framed chunks. */
export function openChunks(messages, input, limits) {
  const chunks = [];
  const end = (outcome) => ({ outcome, chunks });
  let sealedBytes = 0;
  for (let at = 0; ; ) {
    if (at >= input.length) return end('Truncated');
    const size = 1 << (input[at] >> 6);
    if (input.length - at < size) return end('Truncated');
    let length = BigInt(input[at] & 0x3f);
    for (let i = 1; i < size; i++) length = (length << 8n) | BigInt(input[at + i]);
    at += size;
    if (length === 0n) {
      const sealed = input.subarray(at);
      if (chunks.length + 1 > limits.chunks) return end('TooManyChunks');
      if (sealed.length > limits.chunk + Nt) return end('ChunkTooLarge');
      if (sealedBytes + sealed.length > limits.bytes) return end('TooLarge');
      if (sealed.length < Nt) return end('Truncated');
      const plaintext = messages.open('final', sealed);
      if (!plaintext) return end('CannotBeOpened');
      chunks.push(plaintext);
      return end('Final');
    }
    if (length > BigInt(limits.chunk + Nt)) return end('ChunkTooLarge');
    if (length <= BigInt(Nt)) return end('CannotBeOpened');
    if (chunks.length + 2 > limits.chunks) return end('TooManyChunks');
    sealedBytes += Number(length);
    if (sealedBytes > limits.bytes) return end('TooLarge');
    const sealed = input.subarray(at, (at += Number(length)));
    if (sealed.length < Number(length)) return end('Truncated');
    const plaintext = messages.open('', sealed);
    if (!plaintext) return end('CannotBeOpened');
    chunks.push(plaintext);
  }
}

export const limits = {
  request: { chunk: 16384, chunks: 4096, bytes: 33554432 },
  answer: { chunk: 16384, chunks: 1048576, bytes: 1073741824 },
};

/** The node's side: keys is a list of {key_id, kem_id, secret_key, suites}. */
export function openRequest(keys, request, bounds = limits.request) {
  const fail = (outcome) => ({ outcome, chunks: [] });
  if (request.length < 7) return fail('Truncated');
  const [key_id, kem_id, kdf_id, aead_id] = [request[0], request.readUInt16BE(1), request.readUInt16BE(3), request.readUInt16BE(5)];
  const key = keys.find((held) => held.key_id === key_id && held.kem_id === kem_id);
  if (!key?.suites.some(([kdf, aead]) => kdf === kdf_id && aead === aead_id)) return fail('KeyUnknown');
  const kem = kems[kem_id];
  if (request.length < 7 + kem.Nenc) return fail('Truncated');
  const enc = request.subarray(7, 7 + kem.Nenc);
  const secret = kem.decap(key.secret_key, enc);
  if (!secret) return fail('CannotBeOpened');
  const schedule = keySchedule({ kem_id, kdf_id, aead_id }, secret, info(request.subarray(0, 7)));
  const opened = openChunks(sequence(aead_id, schedule.key, schedule.base_nonce), request.subarray(7 + kem.Nenc), bounds);
  return { ...opened, enc, schedule, aead_id };
}

export const entropyLength = (aead_id) => Math.max(Nn, aeads[aead_id].Nk);

/** What either side derives for the answer. */
export function answerKeys(schedule, aead_id, enc, response_nonce) {
  const secret = schedule.export('message/bhttp chunked response', entropyLength(aead_id));
  const prk = extract(bytes(enc, response_nonce), secret);
  return { secret, prk, aead_key: expand(prk, 'key', aeads[aead_id].Nk), aead_nonce: expand(prk, 'nonce', Nn) };
}

/** The client's side. */
export function openAnswer(schedule, aead_id, enc, answer, bounds = limits.answer) {
  const size = entropyLength(aead_id);
  if (answer.length < size) return { outcome: 'Truncated', chunks: [] };
  const { aead_key, aead_nonce } = answerKeys(schedule, aead_id, enc, answer.subarray(0, size));
  return openChunks(sequence(aead_id, aead_key, aead_nonce), answer.subarray(size), bounds);
}
