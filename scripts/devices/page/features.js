// What a profile counts of an answer, as pawl.writing and pawl.records count it where the Lambda answers: no text.

const LONGEST = 4096, LONGEST_TO_READ = 1000;
const WORD = /[a-z\u00df-\u00f6\u00f8-\u024f\u0400-\u052f]+/g;

// `scripts` are the runs of Unicode's blocks: [first code point, script] in order, and the scripts' names by rank;
// `languages` says whom each word and each letter speaks for, and how much.
export function textFeatures(text, ids, unknown, {scripts, languages}) {
  const characters = [...text];
  const script = scriptOf(characters.slice(0, LONGEST), scripts);
  return {
    tokens: ids.length,
    vocabulary: new Set(ids).size,
    characters: characters.length,
    script,
    language: languageOf(characters.slice(0, LONGEST_TO_READ).join(""), languages) ?? script,
    unknown_rate: rounded(ids.filter(id => id === unknown).length / Math.max(1, ids.length), 4),
  };
}

export const answerFeatures = (label, confidence, projection) => ({
  label, confidence: rounded(confidence, 6), ...projectionFeatures(projection),
});

export const projectionFeatures = projection => Object.fromEntries(
  [...projection].map((value, at) => [`projection_${at}`, rounded(value, 4)]),
);

function languageOf(text, {names, words, letters}) {
  const found = text.toLowerCase().match(WORD) ?? [], votes = new Map(names.map(name => [name, 0]));
  const spoken = [...found.map(word => words.get(word)), ...[...new Set(found.join(""))].map(each => letters.get(each))];
  for (const [name, vote] of spoken.flatMap(each => each ?? [])) votes.set(name, votes.get(name) + vote);
  const best = names.reduce((best, name) => votes.get(name) > votes.get(best) ? name : best);
  return votes.get(best) ? best : undefined;
}

function scriptOf(characters, {runs, names}) {
  const counts = new Map(names.map(name => [name, 0]));
  for (const each of characters) {
    const name = runOf(each.codePointAt(0), runs);
    if (name) counts.set(name, counts.get(name) + 1);
  }
  const best = names.reduce((best, name) => counts.get(name) > counts.get(best) ? name : best);
  return counts.get(best) ? best : "other";
}

function runOf(code, runs) {
  let low = 0, high = runs.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (runs[middle][0] <= code) low = middle;
    else high = middle;
  }
  return runs[low][1];
}

// As Python rounds: a tie goes to the even digit.
function rounded(value, digits) {
  const scale = 10 ** digits, scaled = value * scale, low = Math.floor(scaled);
  if (scaled - low !== 0.5) return Number(value.toFixed(digits));
  return (low % 2 ? low + 1 : low) / scale;
}
