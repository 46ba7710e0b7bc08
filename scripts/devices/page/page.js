// The page: asks, shows, and puts away what is to be sent. The model runs in a worker, so the page never stalls.

import {FEEDBACK, Queue, Refusal, TRAFFIC, send} from "./queue.js";

const at = id => document.getElementById(id);
const show = (id, is_shown = true) => { at(id).hidden = !is_shown; };
const percent = new Intl.NumberFormat("en", {style: "percent", maximumFractionDigits: 1});
const PATIENCE_MS = [1_000, 5_000, 30_000, 120_000, 600_000];
const EVERY_MS = 600_000;
const ENOUGH = 50;  // so many rows that wait are sent before their time
const SHOWN = 5;
const SCRIPTS = ["answering.js", "offline.js"];
const policy = window.trustedTypes?.createPolicy("page", {
  createScriptURL: name => { if (SCRIPTS.includes(name)) return name; throw new TypeError(name); },
});
const address = name => policy?.createScriptURL(name) ?? name;

let queue = null, about = null, shown = null, saved = [], tries = 0, timer = 0, sends = false;

// The worker: a question and its answer go by their number.
const worker = new Worker(address("answering.js"), {type: "module"});
const asked = new Map();
worker.addEventListener("message", ({data: [number, told, error]}) => {
  const {resolve, reject} = asked.get(number);
  asked.delete(number);
  if (error) reject(Object.assign(new Error(error.message), error));
  else resolve(told);
});
worker.addEventListener("error", () => fail(new Error("the model's part of the page cannot be loaded")));

function call(what, value) {
  return new Promise((resolve, reject) => {
    const number = (call.number = (call.number ?? 0) + 1);
    asked.set(number, {resolve, reject});
    worker.postMessage([number, what, value]);
  });
}

async function answer(text) {
  const began_ms = performance.now();
  const {outputs, features} = await call("answer", text);
  return {text, outputs, features, took_ms: performance.now() - began_ms, unix_ms: Date.now(), id: crypto.randomUUID()};
}

function show_answer({outputs, took_ms}) {
  const {label, probabilities, embedding} = outputs;
  const took = `${Math.max(1, Math.round(took_ms))} ms, on this device`;
  show("odds", probabilities !== undefined);
  show("judge", probabilities !== undefined);
  show("numbers", embedding !== undefined);
  at("said").textContent = label ?? `${embedding.length} numbers`;
  at("thanks").textContent = took;
  if (embedding) at("numbers").textContent = embedding.map(each => each.toFixed(4)).join(" ");
  else show_odds(about.manifest.labels.map((name, i) => [name, probabilities[i]]));
  show("answer");
  at("said").focus();
}

function show_odds(odds) {
  odds.sort(([, a], [, b]) => b - a);
  const rows = odds.slice(0, SHOWN).map(([name, share]) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    const [number, bar] = [document.createElement("td"), document.createElement("td")];
    head.scope = "row";
    head.textContent = name;
    number.textContent = percent.format(share);
    const meter = Object.assign(document.createElement("meter"), {value: share, ariaHidden: "true"});
    bar.append(meter);
    row.append(head, number, bar);
    return row;
  });
  at("odds").tBodies[0].replaceChildren(...rows);
  const others = odds.map(([name]) => name).filter(name => name !== shown.outputs.label);
  at("label").replaceChildren(...others.map(name => new Option(name, name)));
}

async function count(given) {
  if (!at("counts").checked) return;
  const {name, version} = about.manifest;
  given.number = await queue.put(TRAFFIC(name, version), {unix_ms: given.unix_ms, ...given.features});
  if ((await queue.waiting()).rows >= ENOUGH) dispatch();
}

// Feedback takes its answer along, and the answer is not counted a second time.
async function judge(value) {
  const {name: model, version} = about.manifest, {id, unix_ms, text, features, number} = shown;
  const row = {
    answer: {id, model, version, unix_ms, text, features},
    metric_name: "label",
    value,
    tags: {rater: await queue.device()},
  };
  await (number === undefined ? queue.put(FEEDBACK, row) : queue.replace(number, FEEDBACK, row));
  show("judge", false);
  at("thanks").textContent = "Thank you. It is kept here until it has been sent.";
  at("said").focus();
  tries = 0;
  await dispatch();
}

// Send what waits, once in all windows of this page; what does not get through is tried again, later and later.
async function dispatch() {
  clearTimeout(timer);
  const grant = await queue.kept("grant");
  const {rows} = await queue.waiting();
  if (grant && rows) await navigator.locks.request("pawl-send", {ifAvailable: true}, lock => lock && attempt(grant));
  else if (sends) at("sent").textContent = rows ? "Nothing can be sent yet: open the link that permits it." : "";
  await show_waiting();
  timer = setTimeout(dispatch, tries ? PATIENCE_MS[Math.min(tries, PATIENCE_MS.length) - 1] : EVERY_MS);
}

async function attempt(grant) {
  try {
    await send(queue, grant.passes);
    tries = 0;
    at("sent").textContent = "All of it has been sent.";
  } catch (error) {
    const is_final = error instanceof Refusal && error.is_final;
    tries = is_final ? PATIENCE_MS.length : tries + 1;
    const why = is_final ? refused(error, grant) : navigator.onLine ? error.message : "there is no network";
    at("sent").textContent = `Not sent, and kept: ${why}.`;
  }
}

const refused = (error, grant) => Date.now() > grant.expires_ms
  ? "the permission to send has expired: ask for a new link" : error.message;

async function show_waiting() {
  const {rows, feedback} = await queue.waiting();
  const counts = rows - feedback;
  at("waiting").textContent = rows
    ? `${counts} ${counts === 1 ? "count" : "counts"} and ${feedback} ${feedback === 1 ? "judgement" : "judgements"} wait.`
    : "Nothing waits to be sent.";
  at("send").disabled = at("save").disabled = !rows;
}

// The same files by hand: for a device that never has a network, or no permission.
async function save() {
  saved = await queue.files();
  for (const {name, text} of saved) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/jsonl"}));
    link.download = name.replaceAll("/", "--");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
  show("drop");
  at("sent").textContent = `${saved.length} files saved. Put each where its name says, "--" read as "/".`;
}

async function drop() {
  for (const {name} of saved) await queue.forget(name);
  show("drop", false);
  at("sent").textContent = "";
  await show_waiting();
}

// A link with a permission to send is kept, and leaves the address at once.
async function take_grant() {
  const text = new URLSearchParams(location.hash.slice(1)).get("grant");
  if (!text) return;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), each => each.charCodeAt(0));
    await queue.keep("grant", JSON.parse(new TextDecoder().decode(bytes)));
    tries = 0;
  } catch {
    at("wrong").textContent = "The link holds no permission to send: ask for it again.";
  }
}

function show_about({manifest, digest, signer, signed}) {
  const facts = {
    Model: `${manifest.name}, version ${manifest.version}`,
    Checked: `${signed.length} files are as the key ${signer.slice(0, 16)} has signed them`,
    Made: `${manifest.created_at}, of ${manifest.lineage.base_model}`,
    Manifest: digest,
  };
  at("about").replaceChildren(...Object.entries(facts).flatMap(([name, text]) => [
    Object.assign(document.createElement("dt"), {textContent: name}),
    Object.assign(document.createElement("dd"), {textContent: text}),
  ]));
}

function fail(error) {
  at("state").textContent = "";
  at("wrong").textContent = error.is_refusal ? `This model is refused: ${error.message}.` : `It cannot start: ${error.message}.`;
}

async function keep_offline() {
  const registration = await navigator.serviceWorker?.register(address("offline.js"));
  registration?.addEventListener("updatefound", () => {
    const coming = registration.installing;
    coming.addEventListener("statechange", () => {
      if (coming.state !== "installed" || !navigator.serviceWorker.controller) return;
      at("state").textContent = "A newer version is here: close this page and open it again.";
    });
  });
}

at("ask").addEventListener("submit", async event => {
  event.preventDefault();
  at("wrong").textContent = "";
  at("go").disabled = true;
  try {
    shown = await answer(at("text").value);
    show_answer(shown);
    await count(shown);
    await show_waiting();
  } catch (error) {
    at("wrong").textContent = `No answer: ${error.message}.`;
  }
  at("go").disabled = false;
});
at("text").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("right").addEventListener("click", () => judge(shown.outputs.label));
at("judge").addEventListener("submit", event => {
  event.preventDefault();
  judge(at("label").value);
});
at("counts").addEventListener("change", () => queue.keep("counts", at("counts").checked));
at("send").addEventListener("click", () => { tries = 0; dispatch(); });
at("save").addEventListener("click", save);
at("drop").addEventListener("click", drop);
addEventListener("online", () => { tries = 0; dispatch(); });
addEventListener("hashchange", () => take_grant().then(dispatch));

globalThis.pawl = {answer, queue: () => queue};  // for programs that drive the page

try {
  const packed = await (await fetch("edge.json")).json();
  queue = await Queue.open();
  at("counts").checked = await queue.kept("counts") ?? true;
  at("counts").disabled = false;
  await take_grant();
  about = await call("open", packed);
  show_about(about);
  at("state").textContent = `Version ${about.manifest.version}, signature checked. Works without a network.`;
  at("go").disabled = false;
  sends = packed.send_to !== null;
  show("send", sends);
  navigator.storage?.persist?.();
  await keep_offline().catch(() => { at("state").textContent = "Ready; this browser does not keep it for later."; });
  await dispatch();
} catch (error) {
  fail(error);
}
