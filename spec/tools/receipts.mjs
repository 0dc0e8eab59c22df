// spec/receipts.md, and what of spec/binary-http.md an exchange needs, written a second time.
import { createHash, verify } from 'node:crypto';
import { cbor, publicKey, sigStructure, signature } from './cose.mjs';
import { bytes } from './hpke.mjs';
import { varint } from './oblivious.mjs';

export { cbor, ed25519Public } from './cose.mjs';

export const sha256 = (...parts) => createHash('sha256').update(bytes(...parts)).digest();
const u32 = (value) => Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);

// --- CBOR that is read, in its one form

class Refused extends Error {}
const refuse = (outcome) => {
  throw new Refused(outcome);
};

/** The value, and where it ends; throws what is wrong. */
function read(input, at, depth) {
  const take = (size) => (at + size > input.length ? refuse('Truncated') : input.subarray(at, (at += size)));
  const first = take(1)[0];
  const [major, information] = [first >> 5, first & 31];
  if (first === 0xf6) return [null, at];
  let argument = information;
  if (information >= 24) {
    if (information > 27) refuse(information === 31 && major >= 2 && major <= 5 ? 'NotDeterministic' : 'Malformed');
    const size = 1 << (information - 24);
    argument = Number(take(size).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
    if (argument < (size === 1 ? 24 : 2 ** (size * 4))) refuse('NotDeterministic');
  }
  if (major === 0) return [argument, at];
  if (major === 1) return [-1 - argument, at];
  if (major === 2) return [Buffer.from(take(argument)), at];
  if (major === 3) {
    const text = take(argument);
    if (!text.equals(Buffer.from(text.toString('utf8')))) refuse('Malformed');
    return [text.toString('utf8'), at];
  }
  if (depth === 0 || major === 7) refuse('WrongType');
  if (major === 6) {
    const [item, end] = read(input, at, depth - 1);
    return [{ tag: argument, item }, end];
  }
  const items = [];
  if (major === 4) {
    for (let i = 0; i < argument; i++) {
      const [item, end] = read(input, at, depth - 1);
      items.push(item);
      at = end;
    }
    return [items, at];
  }
  let before = null;
  for (let i = 0; i < argument; i++) {
    const [label, labelEnd] = read(input, at, 0);
    const encoded = input.subarray(at, labelEnd);
    if (typeof label !== 'number') refuse('UnknownLabel');
    if (before && before.equals(encoded)) refuse('RepeatedLabel');
    if (before && Buffer.compare(before, encoded) > 0) refuse('NotDeterministic');
    before = encoded;
    const [item, end] = read(input, labelEnd, depth - 1);
    items.push([label, item]);
    at = end;
  }
  return [new Map(items), at];
}

function readWhole(input) {
  const [value, end] = read(input, 0, 4);
  return end === input.length ? value : refuse('TrailingBytes');
}

// --- The container, section 1

const contentType = 'application/vnd.confidentialchat.receipt+cbor';
const issuer = (keySet) => `urn:confidentialchat:keyset:${keySet.toString('hex')}`;

export const protectedHeader = ({ keySet, request, time, alg = -8 }) =>
  new Map([[1, alg], [3, contentType], [4, keySet], [15, new Map([[1, issuer(keySet)], [2, `urn:uuid:${request}`], [6, time]])]]);

export function signContainer(seed, header, payload, unprotected = cbor(new Map())) {
  return bytes([0xd2, 0x84], cbor(header), unprotected, cbor(payload), cbor(signature(header, payload, seed)));
}

function labels(map, known, optional = []) {
  if (!(map instanceof Map)) refuse('WrongType');
  for (const label of map.keys()) {
    if (!known.includes(label) && !optional.includes(label)) refuse(label === 2 ? 'CriticalLabel' : 'UnknownLabel');
  }
  if (known.some((label) => !map.has(label))) refuse('MissingLabel');
}

const isId = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
const isDigest = (value) => Buffer.isBuffer(value) && value.length === 32;
const isUnits = (value) => typeof value === 'number' && value >= 0 && value <= 2 ** 40;

/** What a reader makes of a container under this key: Accepted, or why not. */
export function judge(container, signing) {
  try {
    if (container.length > 4096) return 'TooLarge';
    const outer = readWhole(container);
    if (outer?.tag !== 18 || !Array.isArray(outer.item) || outer.item.length !== 4) return 'WrongType';
    const [header, unprotected, payload, signature] = outer.item;
    if (unprotected instanceof Map && unprotected.size > 0) return 'UnprotectedContent';
    if (!Buffer.isBuffer(header) || !(unprotected instanceof Map) || !Buffer.isBuffer(payload) || !Buffer.isBuffer(signature)) return 'WrongType';
    if (signature.length !== 64) return 'WrongValue';
    const map = readWhole(header);
    labels(map, [1, 3, 4, 15]);
    const claims = map.get(15);
    labels(claims, [1, 2, 6], [3]);
    if (![-8, -19].includes(map.get(1))) return 'UnsupportedAlgorithm';
    const request = claims.get(2).replace(/^urn:uuid:/, '');
    if (!isDigest(map.get(4)) || claims.get(1) !== issuer(map.get(4)) || claims.get(2) === request || !isId(request) || claims.get(6) < 0) return 'WrongValue';
    if (map.get(3) !== contentType) return 'WrongContentType';
    const facts = readWhole(payload);
    labels(facts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const usage = facts.get(10);
    if (!Array.isArray(usage) || usage.length !== 3) return 'WrongType';
    const right =
      facts.get(1) === 1 &&
      facts.get(2).equals(Buffer.from(request.replaceAll('-', ''), 'hex')) &&
      [3, 4, 5].every((label) => isDigest(facts.get(label))) &&
      facts.get(6) >= 200 && facts.get(6) < 600 &&
      facts.get(7).length >= 1 && facts.get(7).length <= 256 &&
      (facts.get(8) === null || isDigest(facts.get(8))) &&
      [facts.get(9), ...usage].every(isUnits) &&
      [0, 1].includes(facts.get(11));
    if (!right || claims.has(3)) return 'WrongValue';
    return verify(null, sigStructure(header, payload), publicKey(signing), signature) ? 'Accepted' : 'BadSignature';
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

// --- Key sets, spec/attestation.md section 11

export const keySetDigest = (ohttp, x25519, signing) =>
  sha256('ConfidentialChat attestation v1 key set', u32(ohttp.length), ohttp, u32(x25519.length), x25519, u32(signing.length), signing);

// --- Messages, spec/binary-http.md

const string = (text) => bytes(varint(Buffer.byteLength(text)), text);
const fieldLines = (fields) => bytes(...fields.flatMap(([name, value]) => [string(name), string(value)]));
const known = (part) => bytes(varint(part.length), part);

export const requestMessage = ({ method, path, fields, content }) =>
  bytes([0], ...[method, 'https', '', path].map(string), known(fieldLines(fields)), known(bytes(content)), varint(0));

const padme = (size) => {
  const e = Math.floor(Math.log2(size));
  const unit = 2 ** (e - (Math.floor(Math.log2(e)) + 1));
  return Math.ceil(size / unit) * unit;
};
const zeros = (message, size) => bytes(message, Buffer.alloc(size - message.length));
export const padded = (message) => zeros(message, Math.max(2048, padme(message.length)));
export function chunksOf(message) {
  const chunks = [];
  for (let at = 0; at < message.length; at += 16384) chunks.push(message.subarray(at, at + 16384));
  return chunks;
}

const responseHead = (status, fields) => bytes(varint(status), fieldLines(fields), varint(0));

/** A sign of life before the head, section 6 of spec/envelope-v2.md: it fills a block. */
function processing(framing) {
  const around = bytes(framing, varint(102), string('padding'));
  return bytes(around, varint(512 - around.length - 3), '~'.repeat(512 - around.length - 3), varint(0));
}

/**
 * The plaintext chunks of an answer that brings a receipt, and what of them is hashed. seal makes the trailers of what is hashed.
 * A stream's events are texts with their blank lines; a whole answer's content is one text.
 */
export function answerChunks({ status, fields, content, events, signOfLife }, trailersOf) {
  const chunks = signOfLife ? [processing([3])] : [];
  const begin = bytes(signOfLife ? [] : [3], responseHead(status, fields));
  if (!events) {
    const hashed = bytes(begin, varint(content.length, 4), content, [0]);
    const trailers = trailersOf(bytes(...chunks, hashed));
    return { chunks: [...chunks, ...chunksOf(padded(bytes(hashed, fieldLines(trailers), [0])))], hashed: bytes(...chunks, hashed), trailers };
  }
  let prefix = begin;
  let rest = '';
  for (const event of events) {
    if (!event.endsWith('\n\n')) {
      rest = event; // unfinished: it goes with the end
      continue;
    }
    const size = prefix.length + 4 + event.length;
    const gap = (512 - (size % 512)) % 512;
    const filler = gap === 0 ? 0 : gap < 3 ? gap + 512 : gap;
    const line = filler ? `:${'~'.repeat(filler - 2)}\n` : '';
    chunks.push(bytes(prefix, varint(event.length + filler, 4), event.slice(0, -1), line, '\n'));
    prefix = bytes();
  }
  const end = bytes(prefix, rest ? bytes(varint(rest.length, 4), rest) : '', [0]);
  const hashed = bytes(...chunks, end);
  const trailers = trailersOf(hashed);
  const last = bytes(end, fieldLines(trailers), [0]);
  return { chunks: [...chunks, zeros(last, Math.ceil(last.length / 512) * 512)], hashed, trailers };
}

// --- Receipts, sections 2 and 3

export const saltedHash = (salt, label, message) => sha256(salt, `ConfidentialChat receipt v1 ${label}`, message);

export const payloadOf = ({ request, encapsulation, requestHash, answerHash, status, model, weights, maxUnits, usage, end }) =>
  new Map([[1, 1], [2, Buffer.from(request.replaceAll('-', ''), 'hex')], [3, encapsulation], [4, requestHash], [5, answerHash], [6, status], [7, model], [8, weights], [9, maxUnits], [10, usage], [11, end]]);

const byteSequence = (value) => `:${value.toString('base64')}:`;
export const trailers = (container, salts) => [['confidential-receipt', byteSequence(container)], ['confidential-receipt-salts', byteSequence(salts)]];
