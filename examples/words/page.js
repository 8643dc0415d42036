const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** The whole page, without a script. What people wrote is escaped. */
export function page({ words = [], message = '', portals }) {
  const rows = words.map(
    ([word, meaning]) => `
      <tr>
        <th scope="row">${escaped(word)}</th>
        <td>${escaped(meaning)}</td>
        <td>
          <form method="post" action="/words/delete">
            <input type="hidden" name="word" value="${escaped(word)}">
            <button aria-label="Delete ${escaped(word)}">Delete</button>
          </form>
        </td>
      </tr>`,
  );
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Words in etcd</title>
    <link rel="stylesheet" href="/style.css">
  </head>
  <body>
    <h1>Words in etcd</h1>
    <p>Each word is a key below <code>/example/words/</code>, by way of ${escaped(portals)}.</p>
    ${message === '' ? '' : `<p role="alert">${escaped(message)}</p>`}
    <form method="post" action="/words">
      <label>Word <input name="word" required maxlength="64" autofocus></label>
      <label>Meaning <input name="meaning" required maxlength="256"></label>
      <button>Add</button>
    </form>
    <table>
      <thead><tr><th scope="col">Word</th><th scope="col">Meaning</th><td></td></tr></thead>
      <tbody>${rows.join('')}
      </tbody>
    </table>
  </body>
</html>
`;
}

export const STYLE = `
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
form { display: flex; gap: 0.5rem; flex-wrap: wrap; align-items: end; }
label { display: grid; }
table { border-collapse: collapse; width: 100%; margin-top: 1.5rem; }
th, td { text-align: left; padding: 0.4rem; border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
[role=alert] { color: #a00; }
`;
