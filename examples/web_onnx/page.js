import { classify, decode, load } from "./classify.js";

const state = document.getElementById("state");
const file = document.getElementById("file");
const answer = document.getElementById("answer");

try {
  const model = await load("model.onnx");
  state.textContent = `${model.facts.name || model.facts.architecture}: ${model.labels.length} labels.`;
  file.disabled = false;
  file.addEventListener("change", async () => {
    answer.replaceChildren();
    try {
      const words = await classify(model, await decode(file.files[0], model.rate));
      for (const { label, score } of words.slice(0, 5)) {
        const row = answer.insertRow();
        row.insertCell().textContent = label;
        row.insertCell().textContent = score.toFixed(3);
        const bar = document.createElement("meter");
        bar.value = score;
        row.insertCell().append(bar);
      }
    } catch (error) {
      state.textContent = `That file can't be used: ${error.message}`;
    }
  });
} catch (error) {
  state.textContent = `No model: ${error.message}. Export one into this folder first.`;
}
