// The page: a canvas that turns, checkboxes and sliders for the surfaces.
"use strict";

(() => {
  const { cross, dot } = Surfaces;
  const page = (id) => document.getElementById(id);
  const scene = JSON.parse(page("scene").textContent);
  const canvas = page("canvas");
  const opaque = { alpha: false }; // else the page would shine through what is blended
  const gl = canvas.getContext("webgl2", opaque) || canvas.getContext("webgl", opaque);
  if (!gl || !(gl.createVertexArray || gl.getExtension("OES_element_index_uint"))) {
    page("message").textContent =
      "This browser does not offer WebGL, which the surfaces need. Another browser, or one with WebGL switched on, " +
      "shows them; the pictures beside this file need nothing.";
    return;
  }

  const VERTEX = `
    attribute vec3 position, normal, colour;
    uniform mat3 turn; uniform vec3 centre; uniform vec2 size; uniform float radius;
    varying vec3 facing, tint, place;
    void main() {
      place = turn * (position - centre) / radius;
      facing = turn * normal; tint = colour;
      gl_Position = vec4(place.xy * size, -place.z, 4.0 - place.z);
    }`;
  const FRAGMENT = `
    #ifdef GL_FRAGMENT_PRECISION_HIGH
    precision highp float;
    #else
    precision mediump float;
    #endif
    varying vec3 facing, tint, place;
    uniform float opacity;
    void main() {
      vec3 n = normalize(facing), eye = normalize(vec3(0.0, 0.0, 4.0) - place);
      if (dot(n, eye) < 0.0) n = -n;
      vec3 light = normalize(vec3(-0.4, 0.6, 1.0));
      float lit = 0.42 + 0.6 * max(dot(n, light), 0.0);
      float gloss = 0.3 * pow(max(dot(n, normalize(light + eye)), 0.0), 32.0);
      gl_FragColor = vec4(tint * lit + gloss * (1.0 - tint * lit), opacity);
    }`;

  const rgb = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16) / 255);
  const unit = (v) => { const l = Math.hypot(...v) || 1; return v.map((x) => x / l); };

  // ---- atoms and bonds, as one mesh
  function rings(mesh, count, around, point) { // a band of `count` rings, of which point(k, angle) gives place and normal
    const first = mesh.positions.length / 3;
    for (let k = 0; k < count; k++) for (let n = 0; n <= around; n++) {
      const [place, normal, colour] = point(k, 2 * Math.PI * n / around);
      mesh.positions.push(...place); mesh.normals.push(...normal); mesh.colours.push(...colour);
      const here = first + k * (around + 1) + n, above = here + around + 1;
      if (k < count - 1 && n < around) mesh.triangles.push(here, above, here + 1, here + 1, above, above + 1);
    }
  }

  function molecule() {
    const mesh = { positions: [], normals: [], colours: [], triangles: [] };
    for (const { position, radius, colour } of scene.atoms) {
      rings(mesh, 17, 24, (k, angle) => {
        const polar = Math.PI * k / 16, s = Math.sin(polar);
        const normal = [s * Math.cos(angle), s * Math.sin(angle), Math.cos(polar)];
        return [position.map((x, n) => x + radius * normal[n]), normal, rgb(colour)];
      });
    }
    for (const pair of scene.bonds) {
      const [from, to] = pair.map((k) => scene.atoms[k].position);
      const along = unit(to.map((x, n) => x - from[n]));
      const side = unit(cross(along, Math.abs(along[0]) < 0.8 ? [1, 0, 0] : [0, 1, 0])), third = cross(along, side);
      const middle = from.map((x, n) => 0.5 * (x + to[n]));
      [[from, middle, pair[0]], [middle, to, pair[1]]].forEach(([start, end, atom]) => rings(mesh, 2, 16, (k, angle) => {
        const normal = side.map((x, n) => x * Math.cos(angle) + third[n] * Math.sin(angle));
        return [(k ? end : start).map((x, n) => x + 0.08 * normal[n]), normal, rgb(scene.atoms[atom].colour)];
      }));
    }
    return mesh;
  }

  // ---- what is shown
  const fields = scene.fields.map(Surfaces.decode);
  const shown = scene.surfaces.map((surface) => ({ ...surface, values: Surfaces.combined(fields, surface.weights) }));
  const levels = scene.levels.map((level) => level.start);
  const view = { turn: [...scene.turn], zoom: 1, opacity: 0.55, atoms: true };
  let program, places, atoms, waiting = false;

  function buffers(mesh, former) {
    const made = former || { position: gl.createBuffer(), normal: gl.createBuffer(), index: gl.createBuffer() };
    if (mesh.colours) made.colour = made.colour || gl.createBuffer();
    for (const [name, data] of [["position", mesh.positions], ["normal", mesh.normals], ["colour", mesh.colours]]) {
      if (!data) continue;
      gl.bindBuffer(gl.ARRAY_BUFFER, made[name]);
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(data), gl.DYNAMIC_DRAW);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, made.index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(mesh.triangles), gl.DYNAMIC_DRAW);
    made.count = mesh.triangles.length;
    return made;
  }

  function start() {
    program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "position"); // the one that is always an array
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      page("message").textContent = `The graphics driver refuses the drawing: ${gl.getProgramInfoLog(program)}`;
      return;
    }
    gl.useProgram(program);
    places = {};
    for (const name of ["position", "normal", "colour"]) places[name] = gl.getAttribLocation(program, name);
    for (const name of ["turn", "centre", "size", "radius", "opacity"]) {
      places[name] = gl.getUniformLocation(program, name);
    }
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    atoms = buffers(molecule());
    for (const surface of shown) { surface.made = null; surface.drawn = null; }
    draw();
  }

  function attribute(name, buffer, size = 3) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(places[name]);
    gl.vertexAttribPointer(places[name], size, gl.FLOAT, false, 0, 0);
  }

  function paint(made, colour, opacity) {
    attribute("position", made.position);
    attribute("normal", made.normal);
    if (made.colour) attribute("colour", made.colour);
    else {
      gl.disableVertexAttribArray(places.colour);
      gl.vertexAttrib3f(places.colour, ...colour);
    }
    gl.uniform1f(places.opacity, opacity);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, made.index);
    gl.drawElements(gl.TRIANGLES, made.count, gl.UNSIGNED_INT, 0);
  }

  function draw() {
    waiting = false;
    const sharp = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * sharp, canvas.clientHeight * sharp].map(Math.round);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height);
    gl.clearColor(1, 1, 1, 1);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const least = Math.min(width, height), t = view.turn; // columns are what GLSL stores
    gl.uniformMatrix3fv(places.turn, false, [0, 1, 2].flatMap((column) => t.map((row) => row[column])));
    gl.uniform3f(places.centre, ...scene.centre);
    gl.uniform1f(places.radius, scene.radius);
    gl.uniform2f(places.size, 3.6 * view.zoom * least / width, 3.6 * view.zoom * least / height);
    gl.disable(gl.BLEND);
    gl.disable(gl.CULL_FACE);
    if (view.atoms) paint(atoms, null, 1);
    const visible = shown.filter((surface) => surface.on);
    for (const surface of visible) {
      const level = levels[surface.level];
      if (surface.drawn === level) continue;
      const mesh = Surfaces.isosurface(surface.values, scene.grid, level, surface.sign);
      surface.made = buffers(mesh, surface.made);
      surface.drawn = level;
    }
    if (view.opacity < 1) {
      gl.enable(gl.BLEND);
      gl.enable(gl.CULL_FACE);
      gl.depthMask(false);
      for (const face of [gl.FRONT, gl.BACK]) { // what is behind first
        gl.cullFace(face);
        for (const surface of visible) paint(surface.made, rgb(surface.colour), view.opacity);
      }
    } else for (const surface of visible) paint(surface.made, rgb(surface.colour), 1);
  }

  function redraw() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  // ---- turning and zooming
  function rotate(across, down) { // angles, about the axes of the screen
    const about = (i, j, angle) => {
      const c = Math.cos(angle), s = Math.sin(angle), t = view.turn;
      const [p, q] = [t[i], t[j]];
      t[i] = p.map((x, k) => c * x - s * q[k]);
      t[j] = p.map((x, k) => s * x + c * q[k]);
    };
    about(2, 0, across);
    about(1, 2, down);
    const [x, y] = view.turn; // rounding adds up otherwise
    const right = unit(x), up = unit(y.map((v, k) => v - dot(y, right) * right[k]));
    view.turn = [right, up, cross(right, up)];
    redraw();
  }

  function zoom(factor) {
    view.zoom = Math.min(20, Math.max(0.2, view.zoom * factor));
    redraw();
  }

  const held = new Map();
  const apart = () => { const [p, q] = [...held.values()]; return Math.hypot(p[0] - q[0], p[1] - q[1]); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const former = held.get(event.pointerId);
    if (!former) return;
    const distance = held.size === 2 ? apart() : 0;
    held.set(event.pointerId, [event.clientX, event.clientY]);
    if (held.size === 2) zoom(apart() / (distance || 1));
    else if (held.size === 1) rotate((event.clientX - former[0]) / 130, (event.clientY - former[1]) / 130);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => held.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
  }, { passive: false });
  function reset() { view.turn = [...scene.turn]; view.zoom = 1; redraw(); }
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: () => rotate(-0.1, 0), ArrowRight: () => rotate(0.1, 0), ArrowUp: () => rotate(0, -0.1),
      ArrowDown: () => rotate(0, 0.1), "+": () => zoom(1.1), "-": () => zoom(1 / 1.1), Home: reset,
    };
    if (moves[event.key]) { event.preventDefault(); moves[event.key](); }
  });
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", start);
  window.addEventListener("resize", redraw);

  // ---- the panel
  function element(kind, into, properties = {}) {
    const made = Object.assign(document.createElement(kind), properties);
    into.appendChild(made);
    return made;
  }

  function tick(into, text, on, act, colour) {
    const line = element("label", into);
    const box = element("input", line, { type: "checkbox", checked: on });
    box.addEventListener("change", () => { act(box.checked); redraw(); });
    if (colour) element("span", line, { className: "swatch" }).style.background = colour;
    return element("span", line, { textContent: text });
  }

  function slide(into, label, from, to, at, act) {
    const line = element("label", into, { className: "slider" });
    const words = element("span", line);
    const bar = element("input", line, { type: "range", min: from, max: to, step: "any", value: at });
    const change = (x) => { act(x); words.textContent = label(); redraw(); };
    bar.addEventListener("input", () => change(Number(bar.value)));
    change(at);
  }

  scene.levels.forEach((level, number) => {
    const box = element("fieldset", page("controls"));
    element("legend", box, { textContent: level.name });
    const legend = [];
    for (const surface of shown.filter((one) => one.level === number)) {
      const act = (on) => { surface.on = on; };
      legend.push([surface, tick(box, surface.name, surface.on, act, surface.colour)]);
    }
    const [low, high] = [level.least, level.most].map(Math.log10);
    slide(box, () => `surfaces at (${scene.unit}):`, low, high, Math.log10(level.start), (power) => {
      levels[number] = 10 ** power;
      for (const [surface, words] of legend) {
        words.textContent = `${surface.name}: ${surface.sign < 0 ? "−" : ""}${levels[number].toPrecision(2)}`;
      }
    });
  });
  const more = element("fieldset", page("controls"));
  element("legend", more, { textContent: "view" });
  tick(more, "atoms and bonds", true, (on) => { view.atoms = on; });
  slide(more, () => `opacity: ${Math.round(100 * view.opacity)} %`, 0.1, 1, view.opacity, (x) => { view.opacity = x; });
  const elements = element("p", more);
  for (const [symbol, colour] of new Map(scene.atoms.map((atom) => [atom.symbol, atom.colour]))) {
    element("span", elements, { className: "swatch round" }).style.background = colour;
    element("span", elements, { textContent: `${symbol} ` });
  }
  start();
})();
