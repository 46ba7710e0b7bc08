// Keeps the whole page on the device, each file as it was packed or not at all, so that it opens without a network.
// A later version is fetched as a whole beside this one and takes its place when no page of this one is open.

const VERSION = "PACKED_VERSION", FILES = {PACKED: "FILES"};

async function keep(cache, name, integrity) {
  const request = mode => fetch(new Request(name, {integrity, cache: mode}));
  const reply = await request("default").catch(() => request("reload"));  // an old copy lay between: ask the host
  if (!reply.ok) throw new Error(`${name}: status ${reply.status}`);
  await cache.put(name, reply);
}

async function install() {
  const cache = await caches.open(VERSION);
  for (const [name, integrity] of Object.entries(FILES)) await keep(cache, name, integrity);
}

async function clean() {
  for (const name of await caches.keys()) if (name.startsWith("pawl-") && name !== VERSION) await caches.delete(name);
  await clients.claim();
}

async function find(request) {
  const cache = await caches.open(VERSION);
  const kept = await cache.match(request.mode === "navigate" ? "index.html" : request, {ignoreSearch: true});
  return kept ?? fetch(request);
}

addEventListener("install", event => event.waitUntil(install()));
addEventListener("activate", event => event.waitUntil(clean()));
addEventListener("fetch", event => {
  const is_own = new URL(event.request.url).origin === location.origin;
  if (is_own && event.request.method === "GET") event.respondWith(find(event.request));
});
