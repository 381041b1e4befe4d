// Runs in the hidden frame after the 3DS Method has completed, and notifies the surrounding page.
"use strict";

parent.postMessage("3DS Method completed", location.origin);
