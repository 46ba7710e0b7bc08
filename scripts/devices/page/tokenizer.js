// BERT's tokenizer: the same ids as the tokenizers library gives, whatever Unicode the browser knows.
// What happens to a character is looked up in characters.json, which that library was asked for.

class Ranges {
  constructor(pairs) { this.ends = Uint32Array.from(pairs.flat()); }

  has(code) {
    const ends = this.ends;
    let low = 0, high = ends.length >> 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[2 * middle + 1] < code) low = middle + 1;
      else high = middle;
    }
    return 2 * low < ends.length && ends[2 * low] <= code;
  }
}

const KEPT_WORDS = 20000;

export class Tokenizer {
  // `told` is tokenizer.json, `characters` characters.json; `around` the ids before and after a text's own.
  constructor(told, characters, around, maxTokens) {
    const {normalizer, model} = told;
    const ranges = Object.fromEntries(Object.entries(characters).map(([name, pairs]) => [name, new Ranges(pairs)]));
    Object.assign(this, ranges);
    this.cleans = normalizer.clean_text;
    this.isolates = normalizer.handle_chinese_chars;
    this.strips = normalizer.strip_accents ?? normalizer.lowercase;
    this.lowers = normalizer.lowercase;
    this.vocabulary = new Map(Object.entries(model.vocab));
    this.prefix = model.continuing_subword_prefix;
    this.longest = model.max_input_chars_per_word;
    this.unknown = this.vocabulary.get(model.unk_token);
    [this.start, this.end] = around;
    this.room = maxTokens - this.start.length - this.end.length;
    this.added = new Map(told.added_tokens.map(token => [token.content, token.id]));
    const contents = [...this.added.keys()].sort((a, b) => b.length - a.length);
    this.special = contents.length && new RegExp(`(${contents.map(escaped).join("|")})`);
    this.known = new Map();
  }

  // The token ids of one text, special tokens included, cut to the model's length.
  ids(text) {
    const ids = [];
    for (const part of this.special ? text.toWellFormed().split(this.special) : [text.toWellFormed()]) {
      if (this.added.has(part)) ids.push(this.added.get(part));
      else for (const word of this.words(this.normalized(part))) ids.push(...this.pieces(word));
      if (ids.length >= this.room) break;
    }
    return [...this.start, ...ids.slice(0, this.room), ...this.end];
  }

  normalized(text) {
    let characters = [...text];
    if (this.cleans) characters = characters.filter(each => !this.removed.has(each.codePointAt(0)));
    if (this.isolates) characters = characters.flatMap(each => this.isolates_one(each) ? [" ", each, " "] : [each]);
    if (this.strips) characters = this.stripped(characters);
    return this.lowers ? characters.map(each => this.lower(each)).join("") : characters.join("");
  }

  isolates_one(each) { return this.isolated.has(each.codePointAt(0)); }

  lower(each) { return this.lowered.has(each.codePointAt(0)) ? each.toLowerCase() : each; }

  // Decomposed, without marks. A character that only the browser would decompose stands apart from that.
  stripped(characters) {
    let out = "", run = "";
    for (const each of characters) {
      if (each.normalize("NFD") === each || this.decomposed.has(each.codePointAt(0))) run += each;
      else {
        out += run.normalize("NFD") + each;
        run = "";
      }
    }
    return [...out + run.normalize("NFD")].filter(each => !this.marks.has(each.codePointAt(0)));
  }

  *words(text) {
    let word = "";
    for (const each of text) {
      const code = each.codePointAt(0);
      const is_space = this.spaces.has(code), is_alone = this.punctuation.has(code);
      if (!is_space && !is_alone) {
        word += each;
        continue;
      }
      if (word) yield word;
      if (is_alone) yield each;
      word = "";
    }
    if (word) yield word;
  }

  pieces(word) {
    const known = this.known.get(word);
    if (known) return known;
    const found = this.cut([...word]);
    if (this.known.size >= KEPT_WORDS) this.known.clear();
    if (word.length <= this.longest) this.known.set(word, found);
    return found;
  }

  // The longest known beginning, again and again (WordPiece); a word that does not work out is unknown as a whole.
  cut(characters) {
    if (characters.length > this.longest) return [this.unknown];
    const ids = [];
    for (let start = 0; start < characters.length;) {
      let end = characters.length, id;
      for (; end > start; end--) {
        id = this.vocabulary.get((start ? this.prefix : "") + characters.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.unknown];
      ids.push(id);
      start = end;
    }
    return ids;
  }
}

const escaped = text => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
