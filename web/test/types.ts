// Compiled, never run: what `types/index.d.ts` declares is what the modules have, and a user's program has types.
import * as made from "../src/index.js";
import type * as declared from "../types/index.d.ts";

const same: Omit<typeof declared, "Voice"> = made;
const load: (source: string) => Promise<Pick<declared.Voice, keyof declared.Voice>> = made.Voice.load;

export async function use(voice: declared.Voice): Promise<string> {
  const [best] = await voice.classify(new Float32Array(16_000), { topK: 1, wordsOnly: true });
  const stop = await voice.listen({ onKeyword: ({ label, time }) => console.log(label, time), threshold: { yes: 0.8 } });
  await stop();
  // @ts-expect-error Options have no such name.
  await voice.classify(new Float32Array(1), { top_k: 1 });
  const stream: declared.VoiceStream = voice.stream({ sampleRate: 48_000 });
  return best.label + (await stream.feed(new Int16Array(1))).length + String(same) + String(load);
}
