// Goes on to the bank.
"use strict";

document.getElementById("challenge").submit();
