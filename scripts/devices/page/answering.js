// The model, apart from the page that shows it: its messages are [number, what, value], its replies [number, told, error].

import {Refused, openBundle} from "./bundle.js";
import {answerFeatures, projectionFeatures, textFeatures} from "./features.js";
import {Tokenizer} from "./tokenizer.js";
import {InferenceSession, Tensor, env} from "./runtime/ort.js";

env.wasm.numThreads = 1;  // more need headers that no plain file host sends
env.wasm.wasmPaths = Object.fromEntries(
  [["mjs", "js"], ["wasm", "wasm"]].map(([part, ending]) => [part, new URL(`runtime/ort-wasm.${ending}`, location).href]),
);
env.logLevel = "error";  // warnings are about a graph that was optimized when it was built

const KINDS = {
  "text-classifier": {answer: classify, outputs: ["probabilities", "projection"]},
  "text-embedder": {answer: embed, outputs: ["embedding", "projection"]},
};
let model = null;

const read = async name => {
  const reply = await fetch(`model/${name}`);
  if (reply.status === 404) return null;
  if (!reply.ok) throw new Error(`model/${name}: status ${reply.status}`);
  return new Uint8Array(await reply.arrayBuffer());
};

async function open({keys, around, scripts, languages}) {
  const {manifest, files, digest, signer} = await openBundle(read, keys);
  const kind = KINDS[manifest.kind];
  if (!kind) throw new Refused(`a ${manifest.kind} is not answered for here`);
  const told = JSON.parse(new TextDecoder().decode(files.get("tokenizer.json")));
  const characters = await (await fetch("characters.json")).json();
  const session = await InferenceSession.create(files.get("model.onnx"), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "disabled",  // done when the bundle was built
    externalData: [...files.keys()].filter(name => name.endsWith(".data")).map(path => ({path, data: files.get(path)})),
  });
  const tokenizer = new Tokenizer(told, characters, around, manifest.max_tokens);
  model = {manifest, tokenizer, session, scripts, languages: looked(languages), ...kind};
  return {manifest, digest, signer, signed: [...files.keys()].sort()};
}

const looked = ({names, words, letters}) => ({names, words: new Map(words), letters: new Map(letters)});

async function answer(given) {
  const text = given.toWellFormed(), ids = model.tokenizer.ids(text), shape = [1, ids.length];
  const {probabilities, embedding, projection} = await model.session.run({
    input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
  }, model.outputs);
  const asked = textFeatures(text, ids, model.tokenizer.unknown, model);
  return model.answer(asked, probabilities ?? embedding, projection);
}

function classify(asked, {data}, projection) {
  const best = data.reduce((best, value, at) => value > data[best] ? at : best, 0);
  const label = model.manifest.labels[best];
  const outputs = {label, probabilities: [...data]};
  return {outputs, features: {...asked, ...answerFeatures(label, data[best], projection.data)}};
}

function embed(asked, {data}, projection) {
  return {outputs: {embedding: [...data]}, features: {...asked, ...projectionFeatures(projection.data)}};
}

const DOES = {open, answer};
let last = Promise.resolve();  // a session takes one text at a time

addEventListener("message", ({data: [number, what, value]}) => {
  last = last.then(async () => {
    try {
      postMessage([number, await DOES[what](value), null]);
    } catch (error) {
      postMessage([number, null, {message: error.message, is_refusal: error instanceof Refused}]);
    }
  });
});
