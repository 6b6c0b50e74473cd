-- Staging takes such lines for corrections of the stock, so all that is made of it holds: somebody
-- should ask the source about them, but one odd line is no reason to stop the whole shop.

{{ config(severity='warn') }}

select *
from {{ ref('stg_orders__lines') }}
where order_id like 'C%' and quantity >= 0
