// What operators' pages gain where there is JavaScript.
import { enableCharts } from "./chart.js";

enableCharts();
