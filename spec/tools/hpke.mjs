// spec/oblivious-v2.md section 3, written a second time: ML-KEM from @noble/post-quantum, everything else from node:crypto.
import { createCipheriv, createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';

export const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'utf8') : Buffer.from(part))));
export const u16 = (value) => Buffer.from([value >> 8, value & 0xff]);

// --- KDF

const hmac = (key, data) => createHmac('sha256', key).update(data).digest();
export const extract = (salt, ikm) => hmac(salt.length === 0 ? Buffer.alloc(32) : salt, ikm);
export function expand(prk, info, length) {
  let block = Buffer.alloc(0);
  const blocks = [];
  for (let i = 1; blocks.length * 32 < length; i++) {
    block = hmac(prk, bytes(block, info, [i]));
    blocks.push(block);
  }
  return bytes(...blocks).subarray(0, length);
}
const labeledExtract = (suite, salt, label, ikm) => extract(salt, bytes('HPKE-v1', suite, label, ikm));
const labeledExpand = (suite, prk, label, info, length) => expand(prk, bytes(u16(length), 'HPKE-v1', suite, label, info), length);

// --- AEAD

export const aeads = {
  1: { cipher: 'aes-128-gcm', Nk: 16 },
  2: { cipher: 'aes-256-gcm', Nk: 32 },
  3: { cipher: 'chacha20-poly1305', Nk: 32 },
};
export const Nn = 12;
export const Nt = 16;
export function seal(aead, key, nonce, aad, plaintext) {
  const cipher = createCipheriv(aeads[aead].cipher, key, nonce, { authTagLength: Nt });
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  return bytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}
/** The plaintext, or null. */
export function open(aead, key, nonce, aad, sealed) {
  if (sealed.length < Nt) return null;
  const decipher = createDecipheriv(aeads[aead].cipher, key, nonce, { authTagLength: Nt });
  decipher.setAAD(aad, { plaintextLength: sealed.length - Nt });
  decipher.setAuthTag(sealed.subarray(-Nt));
  try {
    return bytes(decipher.update(sealed.subarray(0, -Nt)), decipher.final());
  } catch {
    return null;
  }
}

// --- X25519

const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const spki = Buffer.from('302a300506032b656e032100', 'hex');
const privateKey = (sk) => createPrivateKey({ key: bytes(pkcs8, sk), format: 'der', type: 'pkcs8' });
const publicKey = (pk) => createPublicKey({ key: bytes(spki, pk), format: 'der', type: 'spki' });
export const x25519Public = (sk) => createPublicKey(privateKey(sk)).export({ format: 'der', type: 'spki' }).subarray(spki.length);
/** The shared secret, or null where it is all zeros. */
export function x25519(sk, pk) {
  try {
    return diffieHellman({ privateKey: privateKey(sk), publicKey: publicKey(pk) });
  } catch {
    return null;
  }
}
const anyone = Buffer.alloc(32, 0x55);

// --- KEMs: valid(pk), publicKey(sk), encap(pk, randomness) -> {enc, secret}, decap(sk, enc) -> secret or null

const dhkemSuite = bytes('KEM', u16(0x0020));
function dhkemSecret(dh, enc, pkR) {
  const eae_prk = labeledExtract(dhkemSuite, '', 'eae_prk', dh);
  return labeledExpand(dhkemSuite, eae_prk, 'shared_secret', bytes(enc, pkR), 32);
}
const dhkem = {
  Npk: 32,
  Nenc: 32,
  valid: (pk) => pk.length === 32 && x25519(anyone, pk) !== null,
  publicKey: x25519Public,
  encap(pkR, skE) {
    const enc = x25519Public(skE);
    return { enc, secret: dhkemSecret(x25519(skE, pkR), enc, pkR) };
  },
  decap(skR, enc) {
    const dh = x25519(skR, enc);
    return dh && dhkemSecret(dh, enc, x25519Public(skR));
  },
};

const shake256 = (data, outputLength) => createHash('shake256', { outputLength }).update(data).digest();
const xwingSecret = (ssM, ssX, ctX, pkX) => createHash('sha3-256').update(bytes(ssM, ssX, ctX, pkX, '\\.//^\\')).digest();
function xwingExpand(seed) {
  const expanded = shake256(seed, 96);
  const mlkem = ml_kem768.keygen(expanded.subarray(0, 64));
  return { mlkem, skX: expanded.subarray(64), pkX: x25519Public(expanded.subarray(64)) };
}
const xwing = {
  Npk: 1216,
  Nenc: 1120,
  valid(pk) {
    if (pk.length !== 1216) return false;
    for (let i = 0; i < 1152; i += 3) {
      if ((pk[i] | ((pk[i + 1] & 15) << 8)) >= 3329 || ((pk[i + 1] >> 4) | (pk[i + 2] << 4)) >= 3329) return false;
    }
    return dhkem.valid(pk.subarray(1184));
  },
  publicKey(seed) {
    const { mlkem, pkX } = xwingExpand(seed);
    return bytes(mlkem.publicKey, pkX);
  },
  encap(pkR, eseed) {
    const m = ml_kem768.encapsulate(pkR.subarray(0, 1184), eseed.subarray(0, 32));
    const [skE, pkX] = [eseed.subarray(32), pkR.subarray(1184)];
    const ctX = x25519Public(skE);
    return { enc: bytes(m.cipherText, ctX), secret: xwingSecret(m.sharedSecret, x25519(skE, pkX), ctX, pkX) };
  },
  decap(seed, enc) {
    const { mlkem, skX, pkX } = xwingExpand(seed);
    const ssX = x25519(skX, enc.subarray(1088));
    return ssX && xwingSecret(ml_kem768.decapsulate(enc.subarray(0, 1088), mlkem.secretKey), ssX, enc.subarray(1088), pkX);
  },
};
export const kems = { 0x0020: dhkem, 0x647a: xwing };

// --- Contexts

export function keySchedule({ kem_id, kdf_id, aead_id }, secret, info) {
  const suite = bytes('HPKE', u16(kem_id), u16(kdf_id), u16(aead_id));
  const context = bytes([0], labeledExtract(suite, '', 'psk_id_hash', ''), labeledExtract(suite, '', 'info_hash', info));
  const prk = labeledExtract(suite, secret, 'secret', '');
  const exporter_secret = labeledExpand(suite, prk, 'exp', context, 32);
  return {
    shared_secret: secret,
    key: labeledExpand(suite, prk, 'key', context, aeads[aead_id].Nk),
    base_nonce: labeledExpand(suite, prk, 'base_nonce', context, Nn),
    exporter_secret,
    export: (exporterContext, length) => labeledExpand(suite, exporter_secret, 'sec', exporterContext, length),
  };
}

/** base_nonce XOR u96(seq) */
export function nonceOf(base, seq) {
  const nonce = Buffer.from(base);
  for (let i = 0, rest = BigInt(seq); i < 8; i++, rest >>= 8n) nonce[11 - i] ^= Number(rest & 255n);
  return nonce;
}

/** Seals or opens numbered messages under one key. */
export function sequence(aead_id, key, base_nonce) {
  let seq = 0;
  return {
    seal: (aad, plaintext) => seal(aead_id, key, nonceOf(base_nonce, seq++), bytes(aad), plaintext),
    open(aad, sealed) {
      const plaintext = open(aead_id, key, nonceOf(base_nonce, seq), bytes(aad), sealed);
      if (plaintext) seq++;
      return plaintext;
    },
  };
}
