// The CBOR and the COSE_Sign1 that nodes sign, spec/receipts.md section 1, and the tree of RFC 9162 section 2.1: by node:crypto alone.
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { bytes } from './hpke.mjs';

/** CBOR in the form of RFC 8949 section 4.2.1; maps as Map, bytes as Buffer, integers as number or bigint. */
export function cbor(value) {
  if (value === null) return Buffer.from([0xf6]);
  if (typeof value === 'number' || typeof value === 'bigint') return value >= 0 ? head(0, value) : head(1, -1n - BigInt(value));
  if (typeof value === 'string') return bytes(head(3, Buffer.byteLength(value)), value);
  if (Array.isArray(value)) return bytes(head(4, value.length), ...value.map(cbor));
  if (value instanceof Map) {
    const pairs = [...value].map(([label, content]) => [cbor(label), cbor(content)]).sort(([a], [b]) => Buffer.compare(a, b));
    return bytes(head(5, pairs.length), ...pairs.flat());
  }
  if (value instanceof Raw) return value.content;
  if (value instanceof Tagged) return bytes(head(6, value.tag), cbor(value.content));
  return bytes(head(2, value.length), value);
}

/** CBOR as it stands. */
export class Raw {
  constructor(content) {
    this.content = content;
  }
}

export class Tagged {
  constructor(tag, content) {
    this.tag = tag;
    this.content = content;
  }
}

export function head(major, argument) {
  const value = BigInt(argument);
  if (value < 24n) return Buffer.from([(major << 5) | Number(value)]);
  const size = value < 0x100n ? 1 : value < 0x10000n ? 2 : value < 0x100000000n ? 4 : 8;
  const wide = Buffer.alloc(8);
  wide.writeBigUInt64BE(value);
  return bytes(Buffer.from([(major << 5) | (24 + Math.log2(size))]), wide.subarray(8 - size));
}

const [pkcs8, spki] = [Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from('302a300506032b6570032100', 'hex')];
const privateKey = (seed) => createPrivateKey({ key: bytes(pkcs8, seed), format: 'der', type: 'pkcs8' });
export const publicKey = (key) => createPublicKey({ key: bytes(spki, key), format: 'der', type: 'spki' });
export const ed25519Public = (seed) => createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(spki.length);

/** What is signed, of RFC 9052 section 4.4, without external_aad. */
export const sigStructure = (protectedHeader, payload) => cbor(['Signature1', protectedHeader, Buffer.alloc(0), payload]);
export const signature = (protectedHeader, payload, seed) => sign(null, sigStructure(protectedHeader, payload), privateKey(seed));

/** Protected header and payload as bytes, or a payload of null with what is signed in its place. */
export function sign1(protectedHeader, payload, seed, { unprotected = new Map(), detached = payload } = {}) {
  return cbor(new Tagged(18, [protectedHeader, unprotected, payload, signature(protectedHeader, detached, seed)]));
}

const sha256 = (...parts) => createHash('sha256').update(bytes(...parts)).digest();
const leaf = (entry) => sha256(Buffer.from([0]), entry);
const inner = (left, right) => sha256(Buffer.from([1]), left, right);

// The largest power of two below n.
function split(n) {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** MTH of RFC 9162 section 2.1.1. */
export function root(entries) {
  if (entries.length === 1) return leaf(entries[0]);
  const k = split(entries.length);
  return inner(root(entries.slice(0, k)), root(entries.slice(k)));
}

/** PATH of RFC 9162 section 2.1.3.1, from the bottom up. */
export function path(index, entries) {
  if (entries.length === 1) return [];
  const k = split(entries.length);
  return index < k ? [...path(index, entries.slice(0, k)), root(entries.slice(k))] : [...path(index - k, entries.slice(k)), root(entries.slice(0, k))];
}

/** The root of RFC 9162 section 2.1.3.2, or null. */
export function rootOf(entry, index, size, hashes) {
  if (index >= size) return null;
  let [place, last, hash] = [index, size - 1, leaf(entry)];
  for (const neighbour of hashes) {
    if (last === 0) return null;
    if (place % 2 === 1 || place === last) {
      hash = inner(neighbour, hash);
      while (place % 2 === 0 && place !== 0) [place, last] = [place >> 1, last >> 1];
    } else hash = inner(hash, neighbour);
    [place, last] = [place >> 1, last >> 1];
  }
  return last === 0 ? hash : null;
}
