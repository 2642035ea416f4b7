// Shows the sentences that have one of the chosen outcomes and the text that is searched for.
(() => {
  const boxes = [...document.querySelectorAll("#filter input[type=checkbox]")];
  const search = document.querySelector("#search");
  const cards = [...document.querySelectorAll("article")].map((card) => ({
    card, kinds: card.dataset.kinds.split(" "), text: card.textContent.toLowerCase(),
  }));

  const filter = () => {
    const chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const { card, kinds, text } of cards) {
      card.hidden = !kinds.some((kind) => chosen.has(kind)) || !text.includes(wanted);
      shown += !card.hidden;
    }
    document.querySelector("#shown").textContent = `${shown} of ${cards.length} sentences`;
  };

  document.querySelector("#filter").addEventListener("input", filter);
  document.querySelector("#filter").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
