// The error summary takes the focus, so that what is wrong is the first thing seen and heard.
document.querySelector("[data-focus]")?.focus();
