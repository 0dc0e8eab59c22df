// Verifies containers with npm @auth0/cose, unmodified. Standard input: {key, containers}, hexadecimal; standard output: of each
// {contentType, kid, payload}, or null where it does not verify.
import { Sign1, decode, Headers } from '@auth0/cose';
import { importJWK } from 'jose';

let input = '';
for await (const part of process.stdin) input += part;
const { key, containers } = JSON.parse(input);
const hex = (value) => Buffer.from(value).toString('hex');
const publicKey = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key, 'hex').toString('base64url') }, 'EdDSA');

const seen = [];
for (const container of containers) {
  try {
    const sign1 = await decode(Buffer.from(container, 'hex'), Sign1);
    await sign1.verify(publicKey);
    const header = sign1.protectedHeaders;
    seen.push({ contentType: header.get(Headers.ContentType), kid: hex(header.get(Headers.KeyID)), payload: hex(sign1.payload) });
  } catch {
    seen.push(null);
  }
}
console.log(JSON.stringify(seen));
