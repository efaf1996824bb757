// Values on a grid, and the surfaces where they have one value: the same arithmetic as orbitals/isosurface.py.
"use strict";

const Surfaces = (() => {
  const isEven = (order) => {
    let swaps = 0;
    order.forEach((a, k) => order.slice(k + 1).forEach((b) => { swaps += a > b; }));
    return swaps % 2 === 0;
  };

  // Corners of the six tetrahedra of a cell, as the steps to them (the first axis is the bit 4), right-handed.
  const TETRAHEDRA = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map((order) => {
    const first = 4 >> order[0], second = first | (4 >> order[1]);
    return isEven(order) ? [0, first, second, 7] : [0, second, first, 7];
  });

  // Of each set of corners that are inside (a bit each), the triangles as pairs of corners, which turn left from outside.
  const TRIANGLES = [...Array(16).keys()].map((code) => {
    const inside = [0, 1, 2, 3].filter((k) => code >> k & 1), outside = [0, 1, 2, 3].filter((k) => !(code >> k & 1));
    if (inside.length % 4 === 0) return [];
    const order = inside.length === 3 ? [...outside, ...inside] : [...inside, ...outside];
    if (!isEven(order)) [order[2], order[3]] = [order[3], order[2]];
    const [i, j, k, l] = order;
    if (inside.length === 2) return [[[i, k], [i, l], [j, l]], [[i, k], [j, l], [j, k]]];
    return [inside.length === 1 ? [[i, j], [i, k], [i, l]] : [[i, j], [i, l], [i, k]]];
  });

  // Numbers of a field: 16 bits each of arsinh(value / scale), from `least` in equal steps.
  function decode(field) {
    const bytes = atob(field.data), values = new Float32Array(bytes.length / 2);
    for (let k = 0; k < values.length; k++) {
      const count = bytes.charCodeAt(2 * k) | bytes.charCodeAt(2 * k + 1) << 8;
      values[k] = field.scale * Math.sinh(field.least + field.step * count);
    }
    return values;
  }

  // The sum of fields with weights.
  function combined(fields, weights) {
    return fields[0].map((_, k) => weights.reduce((sum, w, n) => sum + (w ? w * fields[n][k] : 0), 0));
  }

  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  // The surface around the points where sign * value is above a level: positions (A), normals, triangles.
  function isosurface(values, grid, level, sign = 1) {
    const [na, nb, nc] = grid.counts, strides = [nb * nc, nc, 1], [a, b, c] = grid.steps;
    const volume = dot(a, cross(b, c));
    const inverse = [cross(b, c), cross(c, a), cross(a, b)].map((row) => row.map((x) => x / volume));
    const offsets = [...Array(8).keys()].map((m) => (m >> 2 & 1) * strides[0] + (m >> 1 & 1) * strides[1] + (m & 1));
    const slots = new Int32Array(8 * values.length).fill(-1);
    const positions = [], normals = [], triangles = [];
    const place = (p) => [Math.floor(p / strides[0]), Math.floor(p / nc) % nb, p % nc];

    // Of the function along the three steps, by differences that are one-sided at the ends.
    function slopes(p) {
      return place(p).map((at, k) => {
        const down = at > 0 ? strides[k] : 0, up = at < grid.counts[k] - 1 ? strides[k] : 0;
        return (values[p + up] - values[p - down]) / (down && up ? 2 : 1);
      });
    }

    function vertex(low, mask) {
      const key = 8 * low + mask;
      if (slots[key] >= 0) return slots[key];
      const high = low + offsets[mask], start = sign * values[low], end = sign * values[high];
      const t = (level - start) / (end - start), at = place(low);
      const index = at.map((x, k) => x + t * (mask >> 2 - k & 1)), g = slopes(low), h = slopes(high);
      const normal = [0, 0, 0];
      for (let x = 0; x < 3; x++) {
        positions.push(grid.origin[x] + index[0] * a[x] + index[1] * b[x] + index[2] * c[x]);
        for (let k = 0; k < 3; k++) normal[x] -= sign * (g[k] + t * (h[k] - g[k])) * inverse[k][x];
      }
      const length = Math.hypot(...normal) || 1;
      normals.push(...normal.map((x) => x / length));
      slots[key] = positions.length / 3 - 1;
      return slots[key];
    }

    const inside = Uint8Array.from(values, (value) => sign * value > level);
    for (let i = 0; i < na - 1; i++) for (let j = 0; j < nb - 1; j++) for (let k = 0; k < nc - 1; k++) {
      const base = i * strides[0] + j * strides[1] + k;
      let count = 0;
      for (let m = 0; m < 8; m++) count += inside[base + offsets[m]];
      if (count % 8 === 0) continue;
      for (const corners of TETRAHEDRA) {
        let code = 0;
        for (let n = 0; n < 4; n++) code |= inside[base + offsets[corners[n]]] << n;
        for (const face of TRIANGLES[code]) {
          const three = face.map(([p, q]) => {
            const low = Math.min(corners[p], corners[q]);
            return vertex(base + offsets[low], corners[p] ^ corners[q]);
          });
          triangles.push(three[0], volume < 0 ? three[2] : three[1], volume < 0 ? three[1] : three[2]);
        }
      }
    }
    return {
      positions: Float32Array.from(positions), normals: Float32Array.from(normals),
      triangles: Uint32Array.from(triangles),
    };
  }

  return { decode, combined, isosurface, cross, dot };
})();

if (typeof module !== "undefined") module.exports = Surfaces;
