// form[data-send] is sent as soon as its page is there; its button is for pages without scripts.
for (const form of document.querySelectorAll("form[data-send]")) form.submit();
