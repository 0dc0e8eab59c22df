// spec/envelope-v1.md sections 3, 7 and 8, written a second time: BLAKE2b from @noble/hashes, everything else from node:crypto.
import { blake2b } from '@noble/hashes/blake2.js';
import { bytes, expand, extract, open, seal, x25519, x25519Public } from './hpke.mjs';

const aes256gcm = 2;
const empty = Buffer.alloc(0);
const base64 = (value) => Buffer.from(value).toString('base64');

/** A sealed request and what seals its answers. `blanks` is the blinding, 128 spaces and tabs. */
export function sealRequest({ clientKey, nodeKey, salt, nonce, body, blanks, outer }) {
  const key = expand(extract(salt, x25519(clientKey, nodeKey)), empty, 32);
  const plaintext = bytes(JSON.stringify(body), blanks);
  const envelope = {
    ciphertext: base64(seal(aes256gcm, key, nonce, empty, plaintext)),
    nonce: base64(nonce),
    salt: base64(salt),
    client_dh_public_key: base64(x25519Public(clientKey)),
    node_dh_public_key: base64(nodeKey),
    plaintext_body_hash: base64(blake2b(plaintext, { dkLen: 32 })),
    ...outer,
  };
  return {
    envelope,
    sealAnswer: (answerNonce, answer, length) => sealAnswer(key, answerNonce, answer, length),
    sealEvents: (eventNonces, events, length) => events.map((event, i) => sealAnswer(key, eventNonces[i], placed(event, i, events.length), length)),
  };
}

/** An event with its place in front: its number, under the name that says whether another follows. */
function placed(event, i, count) {
  return { [i + 1 < count ? 'seq' : 'last']: i, ...event };
}

/** A whole answer or an event: `length` is what its JSON is padded to with spaces. */
function sealAnswer(key, nonce, answer, length) {
  const padded = bytes(JSON.stringify(answer).padEnd(length, ' '));
  if (padded.length !== length) throw new Error(`the answer is longer than ${length} bytes`);
  return { ciphertext: base64(seal(aes256gcm, key, nonce, empty, padded)), nonce: base64(nonce), response_hash: null, signature: null };
}
