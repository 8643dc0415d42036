/** The answers are flat and machine-made; a whole parser of XML would be more to trust than these lines. */
export function elements(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([\\s\\S]*?)</${name}>`, 'g'))].map(
    ([, inner]) => inner as string,
  );
}

/** The text of the first element of a name. */
export function element(xml: string, name: string): string | undefined {
  const [text] = elements(xml, name);
  return text
    ?.replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&apos;/g, "'")
    .replace(/&amp;/g, '&');
}
