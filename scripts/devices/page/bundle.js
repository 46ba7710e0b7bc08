// A bundle as it was signed, or a refusal that names the file: OpenSSF Model Signing 1.0, as model.sig has it.
// The signature is checked first, then the sha256 of every file that it lists; nothing is opened before.

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const TYPES = ["https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"];
const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MANIFEST = "manifest.json", EVIDENCE = "evidence.json", SIGNATURE = "model.sig";

export class Refused extends Error {}

// `read` gives a file's bytes by its name, null where there is none; `keys` are SubjectPublicKeyInfos in base64.
// Gives manifest, files by name, the digest of the manifest and the fingerprint of the key that signed it.
export async function openBundle(read, keys) {
  const text = await read(SIGNATURE);
  if (!text) throw new Refused(`${SIGNATURE} is missing, and unsigned models are not opened here`);
  const {statement, signer} = await openStatement(text, await fingerprints(keys));
  const signed = new Map(statement.predicate.resources.map(each => [each.name, each.digest]));
  const manifest = await checked(read, MANIFEST, signed);
  const about = JSON.parse(decode(manifest));
  const files = new Map([[MANIFEST, manifest]]);
  for (const name of [...new Set([...Object.keys(about.files), ...signed.keys()])].sort()) {
    if (![MANIFEST, EVIDENCE].includes(name) && !about.files[name]) throw new Refused(`${name} is not part of the bundle`);
    if (name !== MANIFEST) files.set(name, await checked(read, name, signed));
  }
  return {manifest: about, files, digest: signed.get(MANIFEST), signer};
}

async function checked(read, name, signed) {
  const bytes = await read(name);
  if (!bytes) throw new Refused(`${name} is missing`);
  if (await sha256(bytes) !== signed.get(name)) throw new Refused(`${name} does not match its signature`);
  return bytes;
}

async function openStatement(text, trusted) {
  let raw, payload, signature, signer;
  try {
    raw = JSON.parse(decode(text));
    signer = raw.verificationMaterial.publicKey.hint;
    payload = unbase64(raw.dsseEnvelope.payload);
    signature = unbase64(raw.dsseEnvelope.signatures[0].sig);
  } catch {
    throw new Refused(`${SIGNATURE} is not a model signature`);
  }
  if (render(payload, signature, signer) !== decode(text)) throw new Refused(`${SIGNATURE} is not as it was written`);
  const key = trusted.get(signer);
  if (!key) throw new Refused(`${SIGNATURE} is by a key that is not trusted here: ${String(signer).slice(0, 16)}`);
  if (!await verify(key, payload, signature)) throw new Refused(`${SIGNATURE} does not match its statement`);
  const statement = JSON.parse(decode(payload));
  if (statement._type !== TYPES[0] || statement.predicateType !== TYPES[1]) {
    throw new Refused(`${SIGNATURE} signs something else: ${statement.predicateType}`);
  }
  return {statement, signer};
}

// The file's one form: the same statement in any other bytes is refused.
const render = (payload, signature, signer) => JSON.stringify({
  dsseEnvelope: {
    payload: base64(payload), payloadType: PAYLOAD_TYPE, signatures: [{keyid: "", sig: base64(signature)}],
  },
  mediaType: BUNDLE_TYPE,
  verificationMaterial: {publicKey: {hint: signer}, tlogEntries: []},
});

async function verify(key, payload, der) {
  const signature = fromDer(der);
  if (!signature) return false;
  const head = new TextEncoder().encode(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `);
  const algorithm = {name: "ECDSA", namedCurve: "P-256", hash: "SHA-256"};
  const imported = await crypto.subtle.importKey("spki", key, algorithm, false, ["verify"]);
  return crypto.subtle.verify(algorithm, imported, signature, new Uint8Array([...head, ...payload]));
}

// An ECDSA-Sig-Value as WebCrypto wants it, r and s of 32 bytes each; null unless it is in its one shortest form.
function fromDer(der) {
  const middle = 4 + der[3], integers = [der.slice(4, middle), der.slice(middle + 2)];
  const whole = [0x30, der.length - 2, ...integers.flatMap(each => [0x02, each.length, ...each])];
  if (whole.length !== der.length || whole.some((byte, at) => byte !== der[at])) return null;
  const raw = new Uint8Array(64);
  for (const [at, each] of integers.entries()) {
    const is_shortest = each.length && each[0] < 0x80 && (each[0] !== 0 || each[1] >= 0x80);
    const value = each[0] === 0 ? each.slice(1) : each;
    if (!is_shortest || value.length > 32) return null;
    raw.set(value, 32 * (at + 1) - value.length);
  }
  return raw;
}

// Keys by the sha256 of their PEM, by which a signature names its key.
async function fingerprints(keys) {
  const named = keys.map(async text => {
    const lines = text.match(/.{1,64}/g);
    const pem = ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
    return [await sha256(new TextEncoder().encode(pem)), unbase64(text)];
  });
  return new Map(await Promise.all(named));
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map(byte => byte.toString(16).padStart(2, "0")).join("");
}

const decode = bytes => new TextDecoder("utf-8", {fatal: true, ignoreBOM: true}).decode(bytes);
const unbase64 = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));
const base64 = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
