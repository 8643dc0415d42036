/** A piece of a page. Only {@link html} makes one, so nothing becomes markup that was not written as such. */
export class Html {
  private constructor(readonly text: string) {}

  static readonly #make = (text: string) => new Html(text);

  static of(strings: TemplateStringsArray, values: readonly HtmlValue[]): Html {
    return Html.#make(strings.reduce((text, part, index) => text + textOf(values[index - 1]) + part));
  }
}

/** What may stand in a template. Text and numbers are escaped; `undefined` and `false` are nothing. */
export type HtmlValue = string | number | Html | undefined | false | readonly HtmlValue[];

/** A template whose values are text, never markup, unless they were made by it themselves. */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return Html.of(strings, values);
}

function textOf(value: HtmlValue): string {
  if (value === undefined || value === false) {
    return '';
  }
  if (value instanceof Html) {
    return value.text;
  }
  return typeof value === 'object' ? value.map(textOf).join('') : escapeHtml(String(value));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}
