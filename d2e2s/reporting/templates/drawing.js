// Places the arcs of every sentence on the page, and again whenever its lines break elsewhere.
(() => {
  const LIFT = 12, HIGHEST = 24, APART = 17;
  const PLACES = [0.5, 0.36, 0.64, 0.24, 0.76];  // of a sign on its arc, the first that is free

  // Middle of a term's first line, seen from the sentence's corner.
  const anchor = (sentence, term, corner) => {
    const marks = [...sentence.querySelectorAll("mark")].filter((mark) => mark.dataset.terms.split(" ").includes(term));
    const boxes = marks.flatMap((mark) => [...mark.getClientRects()]);
    const line = boxes.filter((box) => Math.abs(box.top - boxes[0].top) < 3);
    const left = Math.min(...line.map((box) => box.left)), right = Math.max(...line.map((box) => box.right));
    return { x: (left + right) / 2 - corner.left, y: boxes[0].top - corner.top };
  };

  // The point at t in [0, 1] of the cubic curve that leaves and arrives upright.
  const onArc = (from, to, lift, t) => {
    const share = t * t * (3 - 2 * t);
    return { x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y) - 3 * t * (1 - t) * lift };
  };

  const draw = (sentence) => {
    const corner = sentence.getBoundingClientRect();
    if (!corner.width) return;
    const signs = [];
    for (const arc of sentence.querySelectorAll("g")) {
      const from = anchor(sentence, arc.dataset.aspect, corner), to = anchor(sentence, arc.dataset.opinion, corner);
      const lift = Math.min(HIGHEST, LIFT + 0.1 * Math.abs(from.x - to.x));
      const [path, circle, text] = ["path", "circle", "text"].map((name) => arc.querySelector(name));
      path.setAttribute("d", `M${from.x} ${from.y} C${from.x} ${from.y - lift} ${to.x} ${to.y - lift} ${to.x} ${to.y}`);
      const places = PLACES.map((t) => onArc(from, to, lift, t));
      const sign = places.find((place) => signs.every((other) => Math.hypot(place.x - other.x, place.y - other.y) > APART)) ?? places[0];
      signs.push(sign);
      circle.setAttribute("cx", sign.x); circle.setAttribute("cy", sign.y);
      text.setAttribute("x", sign.x); text.setAttribute("y", sign.y);
    }
  };

  const resized = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  const watch = (root) => root.querySelectorAll(".triplets").forEach((sentence) => resized.observe(sentence));
  const start = () => {
    watch(document);
    new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.length && watch(change.target)))
      .observe(document.body, { childList: true, subtree: true });
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
