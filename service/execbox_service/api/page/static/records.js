"use strict";(()=>{self.onmessage=()=>{};})();
