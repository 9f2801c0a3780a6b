// What JavaScript adds to pages that work without it. Each module looks for its own `data-` attributes under the element
// that it is given, so that a part of a page that was replaced is brought to life the same way.
import { copy } from "./copy.js";
import { filter } from "./filter.js";
import { focusProblems, mustEqual, sendOnce } from "./forms.js";
import { poll } from "./poll.js";
import { reveal } from "./reveal.js";
import { summary } from "./summary.js";
import { themeButton } from "./theme_button.js";
import { times } from "./times.js";
import { tryIt } from "./try.js";

function enliven(root) {
  for (const part of [times, copy, mustEqual, sendOnce, summary, filter, reveal, tryIt, poll]) part(root, enliven);
}

enliven(document);
themeButton();
focusProblems();
