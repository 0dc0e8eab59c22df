// A second reading of what NVIDIA's devices send: spec/attestation.md sections 18 and 20.
//
//   node devices.mjs report REPORT CHAIN.pem     prints what the report says, and whether the leaf of the chain signed it
//   node devices.mjs list EVIDENCE.json          prints an array of the same, for a list as tools keep it
//   node devices.mjs rim FILE                    prints what a RIM file says, and whether its first certificate signed it
//
// Node.js's own cryptography reads reports; npm xml-crypto checks XML signatures. Nothing here judges: paths to roots are not looked at.
import { createHash, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { DOMParser } from "@xmldom/xmldom";
import { SignedXml } from "xml-crypto";

const C14N_11 = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const XMLDSIG = "http://www.w3.org/2000/09/xmldsig#";
const SIGNATURE_SIZE = 96;

const [kind, file, chain] = process.argv.slice(2);
const said =
  kind === "report" ? report(readFileSync(file), chain && readFileSync(chain, "utf8"))
  : kind === "list" ? list(JSON.parse(readFileSync(file, "utf8")))
  : kind === "rim" ? rim(readFileSync(file, "utf8"))
  : undefined;
if (said === undefined) {
  console.error("error: expected report, list or rim");
  process.exit(2);
}
console.log(JSON.stringify(said));

function list(devices) {
  const items = devices.evidence_list ?? devices.evidences ?? devices;
  return items.map((device) => report(Buffer.from(device.evidence, "base64"), Buffer.from(device.certificate, "base64").toString("latin1")));
}

function report(bytes, pem) {
  const blocks = [];
  const end = 45 + bytes.readUIntLE(42, 3);
  for (let at = 45; at < end; ) {
    const size = bytes.readUInt16LE(at + 5);
    blocks.push({ index: bytes[at], type: bytes[at + 4], value: bytes.subarray(at + 7, at + 7 + size).toString("hex") });
    at += 7 + size;
  }
  const opaque = bytes.subarray(end + 34, end + 34 + bytes.readUInt16LE(end + 32));
  const versioned = opaque.subarray(0, 6).toString("latin1") === "NVDAOD";
  const entries = [];
  for (let at = versioned ? 12 : 0; at < opaque.length; ) {
    const type = opaque.readUInt16LE(at);
    const valueType = versioned ? opaque.readUInt16LE((at += 2)) : null;
    const size = opaque.readUInt16LE(at + 2);
    entries.push({ type, value_type: valueType, value: opaque.subarray(at + 4, at + 4 + size).toString("hex") });
    at += 4 + size;
  }
  return {
    nonce: bytes.subarray(4, 36).toString("hex"),
    measurements: blocks,
    versioned,
    opaque: entries,
    signed: pem ? isSignedBy(leafOf(pem), bytes) : null,
  };
}

function leafOf(pem) {
  return new X509Certificate(pem.slice(pem.indexOf("-----BEGIN"), pem.indexOf("-----END CERTIFICATE-----") + 25));
}

function isSignedBy(leaf, bytes) {
  const [text, signature] = [bytes.subarray(0, -SIGNATURE_SIZE), bytes.subarray(-SIGNATURE_SIZE)];
  return verify("sha384", text, { key: leaf.publicKey, dsaEncoding: "ieee-p1363" }, signature);
}

function rim(text) {
  const root = new DOMParser().parseFromString(text, "text/xml").documentElement;
  const signature = [...children(root)].find((node) => node.localName === "Signature" && node.namespaceURI === XMLDSIG);
  const meta = [...children(root)].find((node) => node.localName === "Meta");
  const payload = [...children(root)].find((node) => node.localName === "Payload");
  const measurements = [...children(payload)]
    .filter((node) => node.localName === "Resource" && value(node, "type") === "Measurement")
    .map((node) => ({
      index: Number(value(node, "index")),
      active: value(node, "active") === "True",
      hashes: attributes(node)
        .filter((attribute) => /^Hash\d+$/.test(attribute.localName))
        .sort((one, other) => Number(one.localName.slice(4)) - Number(other.localName.slice(4)))
        .map((attribute) => attribute.value.toLowerCase()),
    }));
  return {
    product: value(meta, "product"),
    edition: value(meta, "edition"),
    version: value(meta, "colloquialVersion"),
    measurements,
    signed: isXmlSigned(text, signature),
  };
}

function* children(node) {
  for (let child = node.firstChild; child; child = child.nextSibling) if (child.nodeType === 1) yield child;
}

function attributes(node) {
  return Array.from({ length: node.attributes.length }, (_, i) => node.attributes.item(i));
}

function value(node, name) {
  return attributes(node).find((attribute) => attribute.localName === name)?.value;
}

// The documents have no attribute of xml: itself (section 20 rule 1), where C14N 1.1 is C14N 1.0.
function isXmlSigned(text, signature) {
  const der = signature.getElementsByTagNameNS(XMLDSIG, "X509Certificate").item(0).textContent.replace(/\s/g, "");
  const signer = new X509Certificate(Buffer.from(der, "base64"));
  const check = new SignedXml({ publicCert: signer.toString(), getCertFromKeyInfo: () => null });
  check.CanonicalizationAlgorithms[C14N_11] = check.CanonicalizationAlgorithms["http://www.w3.org/TR/2001/REC-xml-c14n-20010315"];
  check.HashAlgorithms[SHA384] = class {
    getAlgorithmName = () => SHA384;
    getHash = (data) => createHash("sha384").update(data, "utf8").digest("base64");
  };
  check.SignatureAlgorithms[ECDSA_SHA384] = class {
    getAlgorithmName = () => ECDSA_SHA384;
    getSignature = () => {
      throw new Error("signs nothing");
    };
    verifySignature = (data, key, base64) =>
      verify("sha384", Buffer.from(data, "utf8"), { key: signer.publicKey, dsaEncoding: "ieee-p1363" }, Buffer.from(base64, "base64"));
  };
  try {
    check.loadSignature(signature);
    return check.checkSignature(text);
  } catch {
    return false; // what it says then is that a digest differs, or that it is no signature
  }
}
