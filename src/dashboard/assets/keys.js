// Shows changes of keys while they happen.
(() => {
  const MOST_LINES = 200;

  for (const section of document.querySelectorAll('[data-live]')) {
    const button = section.querySelector('button');
    const status = section.querySelector('[role="status"]');
    const list = section.querySelector('ol');
    let source;
    button.disabled = false;

    const add = (text) => {
      const line = document.createElement('li');
      line.textContent = text;
      list.prepend(line);
      while (list.children.length > MOST_LINES) {
        list.lastElementChild.remove();
      }
    };
    const stop = (text) => {
      source?.close();
      source = undefined;
      button.textContent = 'Watch';
      button.setAttribute('aria-pressed', 'false');
      status.textContent = text;
    };

    button.addEventListener('click', () => {
      if (source !== undefined) {
        stop('Stopped.');
        return;
      }
      source = new EventSource(section.dataset.live);
      button.textContent = 'Stop';
      button.setAttribute('aria-pressed', 'true');
      status.textContent = 'Connecting …';
      source.addEventListener('start', () => {
        status.textContent = 'Watching.';
      });
      source.addEventListener('message', ({ data }) => {
        const { type, key, value, revision } = JSON.parse(data);
        add(type === 'put' ? `${revision}  ${key} = ${value}` : `${revision}  ${key} deleted`);
      });
      source.addEventListener('lost', () => add('… some changes were missed'));
      source.addEventListener('left', ({ data }) => add(`… and ${data} more changes at once`));
      source.addEventListener('error', () => {
        if (source.readyState === EventSource.CLOSED) {
          stop('Watching has ended. Watch again to go on.');
        } else {
          status.textContent = 'Connecting again …'; // the browser does, and names what it has got
        }
      });
    });
  }
})();
