// What waits to be sent: it survives the page, and leaves as files that the deployment's inbox takes.
//
// A row is put away where a file will take it. Rows become a file in one step, name and content fixed, so a file that
// is sent again, after an answer that got lost, is the same file; its name is gone from here only when it has arrived.

const ROWS = "rows", FILES = "files", FACTS = "facts";
const MOST_ROWS = 1000;

export const TRAFFIC = (model, version) => `inbox/traffic/${model}/${version}/`;
export const FEEDBACK = "inbox/feedback/";

export class Queue {
  static async open(name = "pawl") {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(ROWS, {autoIncrement: true});
      request.result.createObjectStore(FILES, {keyPath: "name"});
      request.result.createObjectStore(FACTS);
    };
    return new Queue(await done(request));
  }

  constructor(database) { this.database = database; }

  // Put a row away for a folder of the inbox; its number.
  put(folder, row) { return this.change([ROWS], ({rows}) => done(rows.add({folder, row}))); }

  // Put a row away in place of an earlier one, unless that has become part of a file.
  replace(number, folder, row) {
    return this.change([ROWS], async ({rows}) => {
      await done(rows.delete(number));
      return done(rows.add({folder, row}));
    });
  }

  // How many rows wait, in files or not, and of them those of feedback.
  async waiting() {
    return this.change([ROWS, FILES], async ({rows, files}) => {
      const single = (await done(rows.getAll())).map(({folder}) => ({folder, count: 1}));
      const all = [...single, ...await done(files.getAll())];
      const sum = some => some.reduce((sum, each) => sum + each.count, 0);
      return {rows: sum(all), feedback: sum(all.filter(each => each.folder === FEEDBACK))};
    });
  }

  // The files that wait, the rows that wait made into some first; oldest first.
  files() {
    return this.change([ROWS, FILES, FACTS], async stores => {
      const [rows, numbers] = [await done(stores.rows.getAll()), await done(stores.rows.getAllKeys())];
      for (const folder of new Set(rows.map(each => each.folder))) {
        const own = rows.filter(each => each.folder === folder);
        for (let at = 0; at < own.length; at += MOST_ROWS) await write(stores, folder, own.slice(at, at + MOST_ROWS));
      }
      for (const number of numbers) await done(stores.rows.delete(number));
      return done(stores.files.getAll());
    });
  }

  // What this device is called in the names of its files, and as a rater: random, and the same for as long as it is kept.
  device() { return this.change([FACTS], ({facts}) => called(facts)); }

  forget(name) { return this.change([FILES], ({files}) => done(files.delete(name))); }

  keep(name, value) { return this.change([FACTS], ({facts}) => done(facts.put(value, name))); }

  kept(name) { return this.change([FACTS], ({facts}) => done(facts.get(name))); }

  // All of `act` or nothing, written to the disk when this is done.
  async change(names, act) {
    const transaction = this.database.transaction(names, "readwrite", {durability: "strict"});
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    ended.catch(() => {});  // said once, below
    let told;
    try {
      told = await act(Object.fromEntries(names.map(name => [name, transaction.objectStore(name)])));
    } catch (error) {
      transaction.abort();
      throw error;
    }
    await ended;
    return told;
  }
}

async function called(facts) {
  const device = await done(facts.get("device")) ?? `device-${crypto.randomUUID()}`;
  await done(facts.put(device, "device"));
  return device;
}

async function write({files, facts}, folder, rows) {
  const number = (await done(facts.get("number")) ?? 0) + 1;
  await done(facts.put(number, "number"));
  const name = `${folder}${await called(facts)}-${String(number).padStart(9, "0")}.jsonl`;
  const text = rows.map(({row}) => `${JSON.stringify(row)}\n`).join("");
  await done(files.add({name, folder, text, count: rows.length}));
}

const done = request => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }

  get is_final() { return this.status >= 400 && this.status < 500 && ![408, 429].includes(this.status); }
}

// Send every file that waits; a Refusal, or a TypeError from the network, leaves it and those after it where they are.
// A grant is a list of presigned POSTs, each for the names that begin with its `prefix`.
export async function send(queue, grant) {
  for (const file of await queue.files()) {
    const pass = grant.find(each => file.name.startsWith(each.prefix));
    if (!pass) throw new Refusal(403, `the permission to send is not for ${file.folder}`);
    const form = new FormData();
    for (const [name, value] of Object.entries({...pass.fields, key: file.name})) form.append(name, value);
    form.append("file", new Blob([file.text]));  // what comes after it is not looked at
    const reply = await fetch(pass.url, {method: "POST", body: form, credentials: "omit", cache: "no-store"});
    if (!reply.ok) throw new Refusal(reply.status, await reason(reply));
    await queue.forget(file.name);
  }
}

async function reason(reply) {
  const told = (await reply.text().catch(() => "")).match(/<Message>([^<]*)<\/Message>/);
  return told ? told[1] : `status ${reply.status}`;
}
