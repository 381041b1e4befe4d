// Continues to the issuer's challenge.
"use strict";

document.getElementById("challenge").submit();
