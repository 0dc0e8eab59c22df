// Vouchers, alone and in batches, and what is none: spec/vouchers.md sections 1 to 3.
import { createHash } from 'node:crypto';
import { cbor, ed25519Public, path, Raw, root, sign1, signature, Tagged } from './cose.mjs';
import { bytes } from './hpke.mjs';

const type = 'application/vnd.confidentialchat.usage+cbor';
const hex = (value) => Buffer.from(value).toString('hex');
const sha256 = (value) => createHash('sha256').update(value).digest();
const uuid = (id) => Buffer.from(id.replaceAll('-', ''), 'hex');

const entryOf = ({ request, model, usage, multiple }) =>
  new Map([[1, 1], [2, uuid(request)], [3, model], [4, usage.map(BigInt)], [5, multiple]]);

const claimsOf = (setting, request) => new Map([
  [1, `urn:confidentialchat:keyset:${hex(setting.keySet)}`],
  ...(request ? [[2, `urn:uuid:${request}`]] : []),
  [3, `urn:confidentialchat:gateway:${hex(sha256(setting.gatewayKey))}`],
  [6, setting.time],
]);

const headerOf = (setting, request) => new Map([
  [1, -8], [3, type], [4, setting.keySet], [15, claimsOf(setting, request)], ...(request ? [] : [[395, 1]]),
]);

const without = (map, label) => new Map([...map].filter(([name]) => name !== label));
const having = (map, label, value) => new Map([...map, [label, value]]);

const alone = (setting, { header = cbor(headerOf(setting, setting.vouchers[0].request)), payload = cbor(entryOf(setting.vouchers[0])), ...options } = {}) =>
  sign1(header, payload, setting.seed, options);

function inBatch(setting, index, changes = {}) {
  const entries = setting.vouchers.map((voucher) => cbor(entryOf(voucher)));
  const { entry, header, size, place, hashes, unprotected, payload, sealed } = {
    entry: entries[index],
    header: cbor(headerOf(setting)),
    size: entries.length,
    place: index,
    hashes: path(index, entries),
    payload: null,
    ...changes,
  };
  const proof = cbor([size, place, hashes]);
  const outside = unprotected?.(proof) ?? new Map([[396, new Map([[-1, [proof]]])]]);
  return cbor([entry, new Tagged(18, [header, outside, payload, sealed ?? signature(header, root(entries), setting.seed)])]);
}

// Two pairs of one label, which a Map cannot have.
const twice = (map, label) => new Raw(bytes(Buffer.from([0xa0 | (map.size + 1)]), ...[...map].flatMap(([name, value]) =>
  [cbor(name), cbor(value), ...(name === label ? [cbor(name), cbor(value)] : [])])));

function refused(setting) {
  const [first] = setting.vouchers;
  const single = { ...setting, vouchers: [first] };
  const header = headerOf(single, first.request);
  const entry = entryOf(first);
  const batch = headerOf(setting);
  const withEntry = (changed) => alone(single, { payload: cbor(changed) });
  const withHeader = (changed) => alone(single, { header: cbor(changed) });
  const hashes = path(0, setting.vouchers.map((voucher) => cbor(entryOf(voucher))));
  const good = alone(single);
  return Object.entries({
    Truncated: { 'an end that is missing': good.subarray(0, -1), 'nothing': Buffer.alloc(0) },
    TrailingBytes: { 'a byte that follows': bytes(good, Buffer.from([0])), 'a byte behind a batch': bytes(inBatch(setting, 0), Buffer.from([0])) },
    TooLarge: { '4097 bytes': Buffer.alloc(4097, 0x82) },
    NotDeterministic: {
      'a version in two bytes': withEntry(having(without(entry, 1), 1, new Raw(Buffer.from([0x18, 0x01])))),
      'a usage of indefinite length': withEntry(having(without(entry, 4), 4, new Raw(Buffer.from([0x9f, 0x00, 0x00, 0x00, 0xff])))),
      'labels out of order': withEntry(new Raw(bytes(Buffer.from([0xa5]), ...[2, 1, 3, 4, 5].flatMap((label) => [cbor(label), cbor(entry.get(label))])))),
      'a size of a tree in three bytes': inBatch(setting, 0, { size: new Raw(Buffer.from([0x19, 0x00, setting.vouchers.length])) }),
    },
    RepeatedLabel: { 'a model twice': withEntry(twice(entry, 3)), 'an algorithm twice': withHeader(twice(header, 1)) },
    UnknownLabel: {
      'a sixth label': withEntry(having(entry, 6, 0)),
      'a label in the header': withHeader(having(header, 5, 0)),
      'a tree in the header of one that stands alone': withHeader(having(header, 395, 1)),
      'a request in the header of a batch': inBatch(setting, 0, { header: cbor(having(without(batch, 15), 15, claimsOf(setting, first.request))) }),
    },
    CriticalLabel: { 'what one has to understand': withHeader(having(header, 2, [99])) },
    MissingLabel: {
      'no usage': withEntry(without(entry, 4)),
      'no multiple': withEntry(without(entry, 5)),
      'no gateway': withHeader(having(without(header, 15), 15, without(header.get(15), 3))),
      'no request in the header': withHeader(having(without(header, 15), 15, claimsOf(setting))),
      'a batch without its tree': inBatch(setting, 0, { header: cbor(without(batch, 395)) }),
      'a batch without a proof': inBatch(setting, 0, { unprotected: () => new Map() }),
    },
    WrongType: {
      'an array nested in the model': withEntry(having(without(entry, 3), 3, [[[[first.model]]]])),
      'a usage of two parts': withEntry(having(without(entry, 4), 4, [1, 2])),
      'a payload that is nil alone': alone(single, { payload: null, detached: cbor(entry) }),
      'a payload that is there in a batch': inBatch(setting, 0, { payload: cbor(entry) }),
      'four thousand arrays': Buffer.alloc(4000, 0x82),
      'two proofs': inBatch(setting, 0, { unprotected: (proof) => new Map([[396, new Map([[-1, [proof, proof]]])]]) }),
    },
    UnprotectedContent: {
      'a label outside what is signed': alone(single, { unprotected: new Map([[4, setting.keySet]]) }),
      'another proof beside that of inclusion': inBatch(setting, 0, { unprotected: (proof) => new Map([[396, new Map([[-1, [proof]], [-2, [proof]]])]]) }),
      'a label beside the proofs': inBatch(setting, 0, { unprotected: (proof) => new Map([[4, setting.keySet], [396, new Map([[-1, [proof]]])]]) }),
    },
    UnsupportedAlgorithm: { 'ES256': withHeader(having(without(header, 1), 1, -7)) },
    WrongContentType: { 'a receipt': withHeader(having(without(header, 3), 3, 'application/vnd.confidentialchat.receipt+cbor')) },
    WrongValue: {
      'version 2': withEntry(having(without(entry, 1), 1, 2)),
      'a model without a name': withEntry(having(without(entry, 3), 3, '')),
      'a model of 257 signs': withEntry(having(without(entry, 3), 3, 'm'.repeat(257))),
      'a part below zero': withEntry(having(without(entry, 4), 4, [-16, 0, 0])),
      'parts whose sum has no room': withEntry(having(without(entry, 4), 4, [2n ** 63n - 1n, 1n, 0n])),
      'a multiple of zero': withEntry(having(without(entry, 5), 5, 0)),
      'a request of 15 bytes': withEntry(having(without(entry, 2), 2, uuid(first.request).subarray(1))),
      'another request than the header names': withEntry(having(without(entry, 2), 2, uuid(setting.vouchers[1].request))),
      'another tree than that of RFC 9162': inBatch(setting, 0, { header: cbor(having(without(batch, 395), 395, 2)) }),
      'a leaf beyond its tree': inBatch(setting, 0, { place: setting.vouchers.length }),
      'a tree of none': inBatch(setting, 0, { size: 0 }),
      'a tree of 65537': inBatch(setting, 0, { size: 65537 }),
      'a path that is too short': inBatch(setting, 0, { hashes: hashes.slice(1) }),
      'a path that is too long': inBatch(setting, 0, { hashes: [...hashes, Buffer.alloc(32)] }),
      'a path of seventeen': inBatch(setting, 0, { size: 65536, hashes: Array(17).fill(Buffer.alloc(32)) }),
      'a hash of 31 bytes': inBatch(setting, 0, { hashes: [hashes[0].subarray(1), ...hashes.slice(1)] }),
    },
    WrongSignature: {
      'another usage': alone(single, { payload: cbor(having(without(entry, 4), 4, [0, 0, 0])), detached: cbor(entry) }),
      'another entry': inBatch(setting, 0, { entry: cbor(having(without(entry, 4), 4, [0, 0, 0])) }),
      'another leaf': inBatch(setting, 0, { place: 1 }),
      'the path of another': inBatch(setting, 0, { hashes: path(1, setting.vouchers.map((voucher) => cbor(entryOf(voucher)))) }),
      'a batch of one under the signature of one that stands alone': inBatch(single, 0, { sealed: signature(cbor(header), cbor(entry), setting.seed) }),
    },
  }).flatMap(([outcome, cases]) => Object.entries(cases).map(([name, signed]) => ({ name, signed: hex(signed), outcome })));
}

/** One file's content. */
export function vouchers(secretOf) {
  const seed = secretOf('voucher signing', 32);
  const setting = { seed, keySet: secretOf('voucher key set', 32), gatewayKey: ed25519Public(secretOf('voucher gateway', 32)), time: 1800000000 };
  const made = (count) => Array.from({ length: count }, (_, i) => {
    const id = hex(secretOf(`voucher request ${i}`, 16));
    return {
      request: `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`,
      model: i === 2 ? 'm'.repeat(256) : ['a-model', 'ein Modell für Bilder'][i % 2],
      usage: [[16, 32, 0], [0, 0, 0], [16, 0, 1048576], [2 ** 32, 23, 24]][i % 4],
      multiple: i % 4 === 3 ? 1 : 16,
    };
  });
  const batches = [1, 2, 3, 5, 256].map((count) => {
    const batch = { ...setting, vouchers: made(count) };
    const shown = count > 5 ? [0, 100, 255] : batch.vouchers.map((_, i) => i);
    return {
      vouchers: batch.vouchers,
      root: count === 1 ? null : hex(root(batch.vouchers.map((voucher) => cbor(entryOf(voucher))))),
      signed: Object.fromEntries(shown.map((i) => [i, hex(count === 1 ? alone(batch) : inBatch(batch, i))])),
    };
  });
  return {
    signing_seed: hex(seed),
    signing_key: hex(ed25519Public(seed)),
    key_set: hex(setting.keySet),
    gateway_key: hex(setting.gatewayKey),
    time: setting.time,
    batches,
    refused: refused({ ...setting, vouchers: made(3) }),
  };
}
