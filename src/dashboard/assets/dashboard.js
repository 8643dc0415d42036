// What makes the pages more pleasant. Every page works without it, except that codes of links are then pasted.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];

  // A link carries its code behind the `#`, which browsers send to nobody.
  const link = document.querySelector('form[data-link]');
  const code = new URLSearchParams(location.hash.slice(1)).get('link');
  if (link !== null && code !== null) {
    history.replaceState(null, '', location.pathname);
    link.elements.namedItem('link').value = code;
    link.requestSubmit();
  }

  for (const form of all('form[method="post"]')) {
    form.addEventListener('submit', () => {
      // After the browser has read the form.
      setTimeout(() => {
        for (const button of form.querySelectorAll('button')) {
          button.disabled = true;
        }
      });
    });
  }

  for (const time of all('time[datetime]')) {
    const moment = new Date(time.dateTime);
    time.title = time.textContent;
    time.textContent = moment.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  }

  for (const button of all('[data-copy]')) {
    if (navigator.clipboard === undefined) {
      break;
    }
    button.hidden = false;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = 'Copied';
      setTimeout(() => {
        button.textContent = 'Copy';
      }, 2_000);
    });
  }

  for (const tabs of all('[data-tabs]')) {
    const panels = [...tabs.children];
    const list = document.createElement('div');
    list.setAttribute('role', 'tablist');
    list.setAttribute('aria-label', 'Ways to connect');
    const buttons = panels.map((panel, index) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.id = `${panel.id}-tab`;
      button.textContent = panel.getAttribute('aria-label');
      button.setAttribute('role', 'tab');
      button.setAttribute('aria-controls', panel.id);
      panel.setAttribute('role', 'tabpanel');
      panel.removeAttribute('aria-label');
      panel.setAttribute('aria-labelledby', button.id);
      button.addEventListener('click', () => select(index));
      button.addEventListener('keydown', ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (step !== undefined) {
          select((index + step + panels.length) % panels.length, true);
        }
      });
      list.append(button);
      return button;
    });
    const select = (chosen, focus = false) => {
      for (const [index, button] of buttons.entries()) {
        button.setAttribute('aria-selected', String(index === chosen));
        button.tabIndex = index === chosen ? 0 : -1;
        panels[index].hidden = index !== chosen;
      }
      if (focus) {
        buttons[chosen].focus();
      }
    };
    tabs.prepend(list);
    select(0);
  }

  const units = document.querySelector('input[data-unit-bytes]');
  if (units !== null) {
    const output = units.parentElement.querySelector('output');
    units.addEventListener('input', () => {
      const megabytes = (units.value * units.dataset.unitBytes) / 2 ** 20;
      const size = megabytes >= 1_024 ? `${(megabytes / 1_024).toFixed(1)} GB` : `${megabytes.toFixed(0)} MB`;
      output.textContent = `${units.value} ${units.value === '1' ? 'unit' : 'units'}, ${size}`;
    });
  }

  // What is under way is looked at again until it is over.
  if (document.querySelector('[data-under-way]') !== null) {
    setTimeout(() => location.replace(location.pathname + location.search), 3_000);
  }
})();
