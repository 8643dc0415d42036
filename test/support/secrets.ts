import assert from 'node:assert/strict';

/**
 * Holds that none of the secrets stands in any of the texts, as it is or encoded for a header or a URL.
 * @param places what is looked through, by the name of each place
 * @throws AssertionError that names the place and shows the line without the secret
 */
export function assertNoSecret(secrets: Iterable<string>, places: Record<string, readonly string[]>): void {
  const forms = [...secrets].flatMap(formsOf);
  for (const [place, texts] of Object.entries(places)) {
    for (const text of texts) {
      const found = forms.find((form) => text.includes(form));
      if (found !== undefined) {
        const shown = text.replaceAll(found, '<the secret>').slice(0, 500);
        assert.fail(`A secret stands in ${place}: ${shown}`);
      }
    }
  }
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    bytes.toString('hex'),
    // Of base64, the part that does not depend on what stands before and after the secret, in each of its phases.
    ...[0, 1, 2].map((phase) =>
      Buffer.concat([Buffer.alloc(phase), bytes])
        .toString('base64')
        .replace(/=+$/, '')
        .slice(phase === 0 ? 0 : phase + 1, -2),
    ),
  ];
}
