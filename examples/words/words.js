/** How many words are shown. */
const MOST_WORDS = 500;
const LONGEST_WORD = 64;
const LONGEST_MEANING = 256;

/** What a person wrote that can't be kept, with a message for them. */
export class BadWord extends Error {}

/** Words and what they mean, each a key of etcd. */
export class Words {
  #etcd;
  #prefix;

  /** @param keyPrefix what the credentials say that all keys begin with: nothing, where portals do that */
  constructor(etcd, keyPrefix = '') {
    this.#etcd = etcd;
    this.#prefix = `${keyPrefix}/example/words/`;
  }

  /** The first 500, by the alphabet: `[word, meaning]` each. */
  async list() {
    const found = await this.#etcd
      .getAll()
      .prefix(this.#prefix)
      .sort('Key', 'Ascend')
      .limit(MOST_WORDS)
      .strings();
    return Object.entries(found).map(([key, meaning]) => [key.slice(this.#prefix.length), meaning]);
  }

  /** @throws BadWord */
  async put(word, meaning) {
    await this.#etcd.put(this.#key(word)).value(checked('The meaning', meaning, LONGEST_MEANING));
  }

  /** @throws BadWord */
  async delete(word) {
    await this.#etcd.delete().key(this.#key(word));
  }

  #key(word) {
    return `${this.#prefix}${checked('The word', word, LONGEST_WORD)}`;
  }
}

function checked(what, text, longest) {
  const trimmed = typeof text === 'string' ? text.trim() : '';
  if (trimmed === '' || trimmed.length > longest || /\p{Cc}/u.test(trimmed)) {
    throw new BadWord(`${what} must have 1 to ${longest} characters, on one line.`);
  }
  return trimmed;
}
