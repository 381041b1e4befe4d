// Runs in the hidden frame, to which the bank has come back: tells the page around it.
"use strict";

parent.postMessage("3DS Method completed", location.origin);
